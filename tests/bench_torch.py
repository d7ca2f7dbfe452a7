"""A whole dcgan training step (D on real and fake, then G; batch 64; Adam) in PyTorch and in ours, alternated in one run.

  python3 tests/bench_torch.py [threads] [rounds]        after `make build/bench`

Prints the median milliseconds of each, their ratio, and the peak memory of both processes.
"""
import os, statistics, subprocess, sys, time
threads, rounds = int(sys.argv[1]) if len(sys.argv) > 1 else os.cpu_count(), int(sys.argv[2]) if len(sys.argv) > 2 else 15
os.environ['OMP_NUM_THREADS'] = str(threads)
os.environ['OMP_WAIT_POLICY'] = 'passive'      # two programs take turns on the same cores: neither may spin while it waits
import resource, torch, torch.nn as nn, torch.nn.functional as F
torch.set_num_threads(threads)
torch.manual_seed(1)


class G(nn.Module):
    def __init__(s):
        super().__init__()
        s.dense, s.n0 = nn.Linear(100, 7 * 7 * 128), nn.BatchNorm2d(128)
        s.t1, s.n1, s.t2 = nn.ConvTranspose2d(128, 64, 5, 2, 2, 1), nn.BatchNorm2d(64), nn.ConvTranspose2d(64, 1, 5, 2, 2, 1)

    def forward(s, z):
        x = F.relu(s.n0(s.dense(z).view(-1, 128, 7, 7)))
        return torch.tanh(s.t2(F.relu(s.n1(s.t1(x)))))


g = G()
d = nn.Sequential(nn.Conv2d(1, 64, 5, 2, 2), nn.LeakyReLU(.2), nn.Conv2d(64, 128, 5, 2, 2), nn.LeakyReLU(.2), nn.Flatten(), nn.Linear(128 * 49, 1))
og, od = (torch.optim.Adam(m.parameters(), 2e-4, betas=(.5, .999)) for m in (g, d))
x = torch.tanh(torch.randn(64, 1, 28, 28))


def step():
    y = g(torch.randn(64, 100))
    loss = F.softplus(-d(x)).mean() + F.softplus(d(y.detach())).mean()
    od.zero_grad()
    loss.backward()
    od.step()
    og.zero_grad()
    F.softplus(-d(y)).mean().backward()
    og.step()


ours = subprocess.Popen(['build/bench', 'step'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
a, b, peak = [], [], 0
for i in range(rounds + 3):
    t = time.perf_counter()
    step()
    b.append(1e3 * (time.perf_counter() - t))
    ours.stdin.write('\n')
    ours.stdin.flush()
    ms, peak = ours.stdout.readline().split()
    a.append(float(ms))
a, b = statistics.median(a[3:]), statistics.median(b[3:])
mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print('dcgan, batch 64, a whole D+G step, %d threads, median of %d alternated: ours %.1f ms, PyTorch %s %.1f ms: ratio %.2f'
      % (threads, rounds, a, torch.__version__, b, a / b))
print('peak memory: ours %s MB, PyTorch %d MB: ratio %.2f' % (peak, mine, int(peak) / mine))
