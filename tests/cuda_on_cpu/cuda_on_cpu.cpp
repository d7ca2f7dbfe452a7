/* cuda_on_cpu.cpp: runs CUDA kernels on the CPU, and checks every access they make.
 *
 * Threads     Each thread of a block is a coroutine: it runs until it waits for others, warp by warp, block after block.
 * Hooks       Kernels are compiled with -fsanitize=thread, but libtsan is not linked: the functions that gcc calls before
 *             every load and store (__tsan_read4 and so on) are ours. Likewise two checks of -fsanitize=alignment,bounds.
 * Shadow      Every 4 bytes of device memory have a Cell: who last wrote them and who read them since, and when. "When" is a
 *             tick that grows at every launch, block, barrier, __syncwarp and __threadfence. Two accesses by different
 *             threads are ordered if such an event lies between them; otherwise, and if one of them writes, it is a race.
 *             Accesses of 1 or 2 bytes split a cell into four, one for each byte.
 * Memory      Shared and device memory lie in one window of addresses, so that a hook needs one comparison:
 *             [dynamic shared 1 MB | variables in __shared__ 63 MB | cudaMalloc 8 GB]. Nothing is touched before it is used. */
#include "cuda_runtime.h"
#include <csetjmp>
#include <cstdarg>
#include <ctime>
#include <deque>
#include <execinfo.h>
#include <link.h>
#include <map>
#include <set>
#include <signal.h>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <vector>
using std::string;

struct Cell { uint32_t wtime, rtime, lanes; uint16_t writer; uint8_t rwarp, flags; };
struct Places { uint32_t w, r; };                         /* the program's addresses where that write and that read were made */
enum { SPLIT = 1, ATOMIC = 2, MANY = 4, WARPS = 8, BLOCKS = 16, KNOWN = 32 };
/* SPLIT: see the bytes' cells. ATOMIC: the last write was one, MANY: and others of the block made atomics besides the writer.
 * WARPS: threads of several warps read; else `lanes` of warp `rwarp` did. BLOCKS: other blocks read too. KNOWN: memory is there. */
enum { READ, WRITE, ATOM };
static const uintptr_t BASE = 0x300000000000, SLOTS = 1 << 20, SHARED = 64 << 20, WINDOW = SHARED + (8ull << 30);
static Cell *const shadow = (Cell *)0x310000000000, *const bytes = (Cell *)0x320000000000;
static Places *const shadow_places = (Places *)0x330000000000, *const bytes_places = (Places *)0x340000000000;
static const size_t STACK = 256 << 10;
static const uint32_t RECENT = 2, FORGET = 0xf0000000;    /* the first tick (1 is "written by the host"), and when to begin anew */

extern const uint3 threadIdx, blockIdx, blockDim, gridDim;
uint3 cuda_on_cpu_thread asm("threadIdx"), cuda_on_cpu_block asm("blockIdx"), cuda_on_cpu_size asm("blockDim"),
      cuda_on_cpu_grid asm("gridDim");
extern "C" {
extern char __executable_start[], _end[];
extern char __start_cuda_device[] __attribute__((weak)), __stop_cuda_device[] __attribute__((weak));
extern char __start_cuda_constant[] __attribute__((weak)), __stop_cuda_constant[] __attribute__((weak));
}

/* ---- the state of the running block ---- */

enum { READY, AT_BLOCK, AT_WARP, DONE };
struct Thread { int state, op, line, value; unsigned mask; uint32_t floor; uint3 index; int coroutine; const void *pc; };      /* pc: where it waits */
static Thread threads[1024];
static uint64_t posted[1024], results[1024];              /* what lanes bring to a warp operation, and what all then see */
static uint32_t clocks[1024][32];                         /* after partial __syncwarps: up to when lane j is ordered before i */
static uint32_t fence[1024], fence_barrier[1024];         /* the last __threadfence of each thread, and the barrier before it */
static char *stacks;
static void *scheduler, *contexts[1024];                  /* contexts[i]: where coroutine i was left */
static std::vector<int> idle;                             /* coroutines whose thread is done; the last one is warm in the cache */
static jmp_buf query;
static int me, warp, count_, inside, querying, refused;
static uint32_t lane_bit, tick = RECENT, launch_tick, block_tick, barrier_tick, floor_, warp_tick[32];
static uintptr_t limit, my_stack;                         /* limit: WINDOW inside kernels, 0 outside */
static size_t dynamic_size, static_size, dynamic_known;
static unsigned launch_number = 1;
static void (*body)(void *);
static void *body_arg;
static const char *kernel_raw;
static string &kernel_name = *new string;
static std::set<string> &kernels = *new std::set<string>;
static long launches;
static std::vector<uint32_t> block_ticks;                 /* of this launch: when each block began */
static bool reverse;

struct Kernel { string name; size_t dynamic; };
static std::map<const char *, Kernel> &known_kernels = *new std::map<const char *, Kernel>;
struct Allocation { size_t size; const void *pc; };
static std::map<uintptr_t, Allocation> &allocations = *new std::map<uintptr_t, Allocation>;
static std::map<uintptr_t, size_t> &freed = *new std::map<uintptr_t, size_t>, &pinned = *new std::map<uintptr_t, size_t>;
static std::map<uintptr_t, std::pair<cuda_on_cpu::Slot *, size_t>> &slots = *new std::map<uintptr_t, std::pair<cuda_on_cpu::Slot *, size_t>>;

/* The host may not touch device memory: the window is closed but for kernels and copies. By a memory protection key where the processor
 * has them (x86: two instructions a switch), else by mprotect. */
static int key = -1;
static void open_window(bool open, uintptr_t from = BASE, size_t n = WINDOW) {
    if (key >= 0 && !pkey_set(key, open ? 0 : PKEY_DISABLE_ACCESS)) return;
    uintptr_t first = from & ~4095ul, last = (from + n + 4095) & ~4095ul;
    mprotect((void *)first, last - first, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}
/* opens the window until the end of a block, or at least the n bytes from p on: mprotect takes as long as there are pages */
struct Open {
    uintptr_t from = BASE;
    size_t n = WINDOW;
    Open() { open_window(true); }
    Open(const void *p, size_t size) : from((uintptr_t)p), n(from - BASE < WINDOW ? size : 0) { if (n) open_window(true, from, n); }
    ~Open() { if (n) open_window(false, from, n); }
};

/* ---- messages ---- */

static string format(const char *f, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, f), vsnprintf(text, sizeof text, f, ap), va_end(ap);
    return text;
}
static uintptr_t image;                                   /* what addr2line does not know: where the program was loaded */
static string shorter(string path) {                      /* relative to where we are */
    char here[4096];
    if (getcwd(here, sizeof here) && path.compare(0, strlen(here), here) == 0 && path[strlen(here)] == '/') path.erase(0, strlen(here) + 1);
    return path.substr(0, path.find(" ("));
}
/* file:line of a return address; where functions were inlined, the innermost outside our own headers, then the outermost */
static string where(const void *pc) {
    if (!pc) return "?";
    string r, last;
    FILE *f = popen(format("addr2line -ie /proc/%d/exe %#zx 2>/dev/null", getpid(), (uintptr_t)pc - image - 1).c_str(), "r");
    for (char line[4096]; f && fgets(line, sizeof line, f);) {
        string s = line;
        s = s.substr(0, s.find('\n'));
        size_t slash = s.rfind('/') + 1, colon = s.find(':', slash);
        string file = s.substr(slash, colon - slash);
        if (file == "cuda_runtime.h" || file == "cuda_bf16.h" || file == "mma.h" || file == "ptx.h" || file == "cuda_pipeline_primitives.h" || file == "cuda_on_cpu.cpp" || file == "??") continue;
        if (r.empty()) r = s;
        last = s;
    }
    if (f) pclose(f);
    if (r.empty()) return "?";
    return shorter(r) + (last != r ? ", called from " + shorter(last) : "");
}
static const void *unpack(uint32_t pc) { return pc ? __executable_start + pc : NULL; }
static string thread_name(int t) {
    return format("(%u,%u,%u)", t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y));
}
static void leave_with_error() { fflush(0); _Exit(1); }
/* "program.cu:12: kernel f, block (0,0,0), thread (1,0,0): what". pc NULL: the place is part of the text */
static void say(const void *pc, const string &place, const string &text) {
    string at = pc ? where(pc) : place;
    fflush(stdout);
    if (inside) fprintf(stderr, "cuda_on_cpu: %s: kernel %s, block (%u,%u,%u), thread (%u,%u,%u): %s\n", at.c_str(), kernel_name.c_str(),
                        blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, text.c_str());
    else fprintf(stderr, "cuda_on_cpu: %s: host: %s\n", at.c_str(), text.c_str());
}
[[noreturn]] static void fail(const void *pc, const string &text) {
    say(pc, "?", text), leave_with_error();
    abort();
}
void cuda_on_cpu_report(const void *pc, const char *f, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, f), vsnprintf(text, sizeof text, f, ap), va_end(ap);
    fail(pc, text);
}
[[noreturn]] static void fail_at(const char *file, int line, const string &text) {
    say(NULL, format("%s:%d", shorter(file).c_str(), line), text), leave_with_error();
    abort();
}
static string describe(uintptr_t o) {                     /* what lies at this offset of the window */
    if (o >= WINDOW) return "a __device__ variable";
    if (o < SLOTS) return format("byte %zu of dynamic shared memory (this launch has %zu bytes)", o, dynamic_size);
    uintptr_t p = BASE + o;
    if (o < SHARED) {
        auto s = slots.upper_bound(p);
        if (s == slots.begin()) return "shared memory";
        --s;
        const char *name = s->second.first->name;
        size_t size = s->second.second, byte = p - s->first;
        if (byte < size) return format("byte %zu of shared `%s` (%zu bytes)", byte, name, size);
        auto n = std::next(s);
        if (n != slots.end() && n->first - p < byte - size) return format("%zu bytes before shared `%s`", n->first - p, n->second.first->name);
        return format("%zu bytes past shared `%s` (%zu bytes)", byte - size, name, size);
    }
    auto f = freed.upper_bound(p);
    if (f != freed.begin() && (--f, p < f->first + f->second)) return format("byte %zu of %zu bytes that were given to cudaFree", p - f->first, f->second);
    auto a = allocations.upper_bound(p);
    bool within = a != allocations.begin() && p < std::prev(a)->first + std::prev(a)->second.size;
    if (!within && a != allocations.end() && (a == allocations.begin() || a->first - p < p - std::prev(a)->first - std::prev(a)->second.size))
        return format("%zu bytes before the %zu bytes from cudaMalloc at %s", a->first - p, a->second.size, where(a->second.pc).c_str());
    if (a == allocations.begin()) return "nothing from cudaMalloc";
    --a;
    size_t byte = p - a->first;
    return format(byte < a->second.size ? "byte %zu of the %zu bytes from cudaMalloc at %s" : "%zu bytes past the %zu bytes from cudaMalloc at %s",
                  byte < a->second.size ? byte : byte - a->second.size, a->second.size, where(a->second.pc).c_str());
}

/* ---- shadow memory ---- */

/* Blocks may hand results to each other: write, __threadfence, atomic on a flag; there: the same atomic, then read. */
struct Published { uintptr_t flag; uint32_t from, to; std::vector<uint32_t> until; };     /* block; per thread, up to when */
struct Acquired { uintptr_t flag; int thread; uint32_t time; };
static std::vector<Published> published;
static std::vector<Acquired> acquired;
__attribute__((noinline, cold)) static bool handed_over(uint32_t time, int thread, uintptr_t p, bool atomic) {
    for (auto &a : acquired) {
        if (a.thread != me && a.time >= barrier_tick) continue;
        if (atomic && a.flag == p) return true;           /* the flag itself */
        for (auto &q : published)
            if (q.flag == a.flag && time >= q.from && time < q.to && (size_t)thread < q.until.size() && time < q.until[(size_t)thread]) return true;
    }
    return false;
}
/* is an access at `time` by `thread` of this block ordered before what we do now? */
static inline bool ordered(uint32_t time, int thread) {
    return time < barrier_tick || thread == me
           || (thread / 32 == warp && (time < warp_tick[warp] || time < clocks[me][thread % 32]));
}
[[noreturn]] __attribute__((noinline, cold)) static void race(const Cell &c, const Places &places, uintptr_t o, int kind, bool earlier_wrote, const void *pc) {
    uint32_t time = earlier_wrote ? c.wtime : c.rtime;
    const char *verb = kind == READ ? "reads" : kind == WRITE ? "writes" : "atomically updates";
    const char *did = earlier_wrote ? (c.flags & ATOMIC ? "atomically updated" : "wrote") : "read";
    int t = earlier_wrote ? c.writer : c.rwarp * 32 + __builtin_ctz(c.lanes);
    if (!earlier_wrote && time >= block_tick && t == me && (c.lanes & ~lane_bit)) t = c.rwarp * 32 + __builtin_ctz(c.lanes & ~lane_bit);
    string other = "thread " + thread_name(t), hint = "no barrier in between";
    if (!earlier_wrote && (c.flags & WARPS)) other = "several threads, one of them " + other + ",";
    if (time < block_tick) {
        size_t b = (size_t)(std::upper_bound(block_ticks.begin(), block_ticks.end(), time) - block_ticks.begin()) - 1;
        if (reverse) b = (size_t)gridDim.x * gridDim.y * gridDim.z - 1 - b;
        other = format("block (%zu,%zu,%zu)", b % gridDim.x, b / gridDim.x % gridDim.y, b / gridDim.x / gridDim.y);
        hint = "blocks of a launch run in any order";
    } else if (!earlier_wrote && (c.flags & BLOCKS) && !(time >= barrier_tick && t != me)) {
        other = "another block", hint = "blocks of a launch run in any order";
    } else if (t / 32 == warp) hint = "no __syncthreads or __syncwarp in between";
    string place = describe(o), at = where(unpack(earlier_wrote ? places.w : places.r));
    fail(pc, format("race: %s %s, which %s %s at %s: %s", verb, place.c_str(), other.c_str(), did, at.c_str(), hint.c_str()));
}
[[noreturn]] __attribute__((noinline, cold)) static void unwritten(uintptr_t o, int kind, const void *pc) {
    fail(pc, format("uninitialised: %s %s, which nobody has written%s", kind == READ ? "reads" : "atomically updates",
                    describe(o).c_str(), o < SHARED ? " in this block so far (or a barrier is missing)" : ""));
}
/* one access to what one cell stands for; o is its offset in the window, or anything >= WINDOW for __device__ variables */
static inline __attribute__((always_inline)) void check(Cell &c, Places &q, uintptr_t o, int kind, const void *pc) {
    bool in_shared = o < SHARED;
    uint32_t first = in_shared ? block_tick : launch_tick, now_pc = (uint32_t)((const char *)pc - __executable_start);
    if (kind != WRITE && c.wtime < (in_shared ? block_tick : 1)) unwritten(o, kind, pc);
    if (c.wtime >= first && !(kind == ATOM && (c.flags & ATOMIC))) {
        if (c.wtime < block_tick) {
            if (!handed_over(c.wtime, c.writer, BASE + o, c.flags & ATOMIC)) race(c, q, o, kind, true, pc);
        } else if (!ordered(c.wtime, c.writer) || ((c.flags & MANY) && c.wtime >= barrier_tick)) race(c, q, o, kind, true, pc);
    }
    if (kind == READ) {
        if (c.rtime < barrier_tick) {                     /* whoever read before is ordered before us, or is another block */
            c.flags &= (uint8_t)~WARPS;
            if (c.rtime < first) c.flags &= (uint8_t)~BLOCKS;
            else if (c.rtime < block_tick) c.flags |= BLOCKS;
            c.lanes = lane_bit, c.rwarp = (uint8_t)warp;
        } else if (c.rwarp != warp) c.flags |= WARPS;
        else if (c.rtime < warp_tick[warp]) c.lanes = lane_bit;
        else c.lanes |= lane_bit;
        c.rtime = tick, q.r = now_pc;
        return;
    }
    if (c.rtime >= first) {
        if (c.rtime < block_tick || (c.flags & BLOCKS)) {
            if (!handed_over(c.rtime, c.rwarp * 32 + __builtin_ctz(c.lanes), BASE + o, c.flags & ATOMIC)) race(c, q, o, kind, false, pc);
        }
        if (c.rtime >= barrier_tick) {
            if ((c.flags & WARPS) || c.rwarp != warp) race(c, q, o, kind, false, pc);
            if (c.rtime >= warp_tick[warp])
                for (uint32_t others = c.lanes & ~lane_bit; others; others &= others - 1)
                    if (c.rtime >= clocks[me][__builtin_ctz(others)]) race(c, q, o, kind, false, pc);
        }
    }
    if (kind == WRITE) {                                  /* whoever is ordered after us is ordered after those readers */
        c.flags &= KNOWN | SPLIT, c.rtime = 0, c.lanes = 0;
    } else {
        if ((c.flags & ATOMIC) && c.wtime >= block_tick && !ordered(c.wtime, c.writer)) c.flags |= MANY;
        else if (c.wtime < barrier_tick) c.flags &= (uint8_t)~MANY;
        c.flags |= ATOMIC;
    }
    c.wtime = tick, c.writer = (uint16_t)me, q.w = now_pc;
}
template <int KIND> __attribute__((noinline)) static void check_one(uintptr_t o, const void *pc) {
    check(shadow[o / 4], shadow_places[o / 4], o, KIND, pc);
}
/* the bytes [o, end) of the window that surround p belong together and exist; false if p lies in nothing */
static bool extent(uintptr_t o, uintptr_t *from, uintptr_t *to) {
    uintptr_t p = BASE + o;
    if (o < SLOTS) return *from = 0, *to = dynamic_size, dynamic_known = std::max(dynamic_known, dynamic_size), o < dynamic_size;
    if (o < SHARED) {
        auto s = slots.upper_bound(p);
        if (s == slots.begin()) return false;
        return --s, *from = s->first - BASE, *to = *from + s->second.second, o < *to;
    }
    auto a = allocations.upper_bound(p);
    if (a == allocations.begin()) return false;
    return --a, *from = a->first - BASE, *to = *from + a->second.size, o < *to;
}
static void split(uintptr_t o) {                          /* o: a multiple of 4 */
    Cell &c = shadow[o / 4];
    for (int i = 0; i < 4; i++) bytes[o + (uintptr_t)i] = c, bytes_places[o + (uintptr_t)i] = shadow_places[o / 4];
    c.flags = SPLIT;
}
static bool learn(uintptr_t o) {                          /* the first access to a cell: is there memory? all four bytes? */
    uintptr_t from, to, word = o & ~(uintptr_t)3;
    if (!extent(o, &from, &to)) return false;
    Cell &c = shadow[word / 4];
    if (word >= from && word + 4 <= to) return c.flags |= KNOWN, true;
    if (!(c.flags & SPLIT)) split(word);
    for (uintptr_t i = word; i < word + 4; i++) if (i >= from && i < to) bytes[i].flags |= KNOWN;
    return true;
}
__attribute__((noinline)) static void slow(uintptr_t o, size_t n, int kind, const void *pc) {
    for (uintptr_t p = o, end = o + n; p < end;) {
        uintptr_t word = p & ~(uintptr_t)3, stop = std::min(word + 4, end);
        Cell &c = shadow[word / 4];
        bool whole = p == word && stop == word + 4;
        if (!(c.flags & (KNOWN | SPLIT)) && !learn(p))
            fail(pc, format("out of bounds: %s %zu bytes at %s", kind == READ ? "reads" : kind == WRITE ? "writes" : "atomically updates", n, describe(p).c_str()));
        if (whole && !(c.flags & SPLIT)) check(c, shadow_places[word / 4], word, kind, pc);
        else {
            if (!(c.flags & SPLIT)) split(word);
            for (uintptr_t i = p; i < stop; i++) {
                if (!(bytes[i].flags & KNOWN) && !(learn(i) && (bytes[i].flags & KNOWN)))
                    fail(pc, format("out of bounds: %s %zu bytes at %s", kind == READ ? "reads" : "writes", n, describe(i).c_str()));
                check(bytes[i], bytes_places[i], i, kind, pc);
            }
            if (whole && kind == WRITE) c = bytes[word], shadow_places[word / 4] = bytes_places[word];        /* of one mind again */
        }
        p = stop;
    }
}
struct Range { uintptr_t from, to; };
static std::vector<Range> &constants = *new std::vector<Range>;      /* what the program cannot write, a kernel may read */
static Cell *device_cells;
static Places *device_places;
static bool is_pinned(const void *p) {
    auto h = pinned.upper_bound((uintptr_t)p);
    return h != pinned.begin() && (--h, (uintptr_t)p < h->first + h->second);
}
/* everything that is neither device memory nor on the thread's own stack */
__attribute__((noinline)) static void outside(const void *q, size_t n, int kind, const void *pc) {
    uintptr_t p = (uintptr_t)q;
    const char *verb = kind == READ ? "reads" : "writes";
    if (!inside) {
        if (p - BASE < WINDOW) fail(pc, format("%s device memory, %s", verb, describe(p - BASE).c_str()));
        return;
    }
    if (q >= __start_cuda_device && q < __stop_cuda_device) {
        size_t from = (size_t)((const char *)q - __start_cuda_device), cells = (size_t)(__stop_cuda_device - __start_cuda_device);
        if (!device_cells) {
            device_cells = (Cell *)calloc(cells, sizeof(Cell)), device_places = (Places *)calloc(cells, sizeof(Places));
            for (size_t i = 0; i < cells; i++) device_cells[i].wtime = 1;
        }
        for (size_t i = from; i < from + n && i < cells; i++) check(device_cells[i], device_places[i], p - BASE, kind, pc);
        return;
    }
    bool constant = q >= __start_cuda_constant && q < __stop_cuda_constant;
    for (auto &r : constants) constant |= p >= r.from && p < r.to;
    if (constant && kind == READ) return;
    if (p - (uintptr_t)stacks < 1024 * STACK) fail(pc, format("%s a local variable of another thread (%p)", verb, q));
    fail(pc, constant ? format("writes constant memory (%p)", q) : p < 4096 ? format("%s %zu bytes through a null pointer (%p)", verb, n, q)
             : format("%s %zu bytes of %shost memory at %p", verb, n, is_pinned(q) ? "pinned " : "", q));
}

/* ---- the hooks ---- */

template <size_t N, int KIND> static inline __attribute__((always_inline)) void hook(void *p, const void *pc) {
    uintptr_t o = (uintptr_t)p - BASE;
    if (__builtin_expect(o < limit, 1)) {
        if (N >= 4 && o % 4 == 0) {
            Cell *c = shadow + o / 4;
            for (size_t i = 0; i < N; i += 4, c++)
                /* again the same as before, nothing in between: nothing to learn */
                if (KIND == READ ? c->rtime >= floor_ && !(c->flags & (SPLIT | ATOMIC)) && ((c->flags & WARPS) || (c->rwarp == warp && (c->lanes & lane_bit)))
                                 : c->wtime >= floor_ && c->writer == me && !(c->flags & (SPLIT | ATOMIC))) continue;
                else if ((c->flags & (KNOWN | SPLIT)) == KNOWN) check_one<KIND>(o + i, pc);
                else slow(o + i, 4, KIND, pc);
        } else slow(o, N, KIND, pc);
    } else if ((uintptr_t)p - my_stack >= STACK) outside(p, N, KIND, pc);
}
#define HOOK(n) \
    void __tsan_read##n(void *p)            { hook<n, READ>(p, __builtin_return_address(0)); } \
    void __tsan_write##n(void *p)           { hook<n, WRITE>(p, __builtin_return_address(0)); } \
    void __tsan_unaligned_read##n(void *p)  { hook<n, READ>(p, __builtin_return_address(0)); } \
    void __tsan_unaligned_write##n(void *p) { hook<n, WRITE>(p, __builtin_return_address(0)); } \
    void __tsan_volatile_read##n(void *p)   { hook<n, READ>(p, __builtin_return_address(0)); } \
    void __tsan_volatile_write##n(void *p)  { hook<n, WRITE>(p, __builtin_return_address(0)); }
static void range(const void *p, size_t n, int kind, const void *pc) {
    if (n == 0) return;
    if ((uintptr_t)p - BASE < limit) slow((uintptr_t)p - BASE, n, kind, pc);
    else if ((uintptr_t)p - my_stack >= STACK) outside(p, n, kind, pc);
}
extern "C" {
HOOK(1) HOOK(2) HOOK(4) HOOK(8) HOOK(16)
void __tsan_read_range(void *p, size_t n)  { range(p, n, READ, __builtin_return_address(0)); }
void __tsan_write_range(void *p, size_t n) { range(p, n, WRITE, __builtin_return_address(0)); }
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
/* guards of static variables and std::atomic in the .cu's host code */
#define HOST_ATOMICS(bits, T) \
    T __tsan_atomic##bits##_load(const T *p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); } \
    void __tsan_atomic##bits##_store(T *p, T v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##bits##_exchange(T *p, T v, int) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##bits##_fetch_add(T *p, T v, int) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##bits##_fetch_sub(T *p, T v, int) { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); } \
    bool __tsan_atomic##bits##_compare_exchange_strong(T *p, T *want, T v, int, int) { \
        return __atomic_compare_exchange_n(p, want, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); }
HOST_ATOMICS(8, unsigned char) HOST_ATOMICS(32, unsigned) HOST_ATOMICS(64, unsigned long)

/* what gcc passes to the handlers of -fsanitize=alignment and bounds */
struct Source { const char *file; uint32_t line, column; };
struct Type { uint16_t kind, info; char name[1]; };
struct Mismatch { Source at; Type *type; unsigned char log_alignment, check; };
struct Bounds { Source at; Type *array, *index; };
void __ubsan_handle_type_mismatch_v1_abort(Mismatch *m, uintptr_t p) {
    fail_at(m->at.file, (int)m->at.line, format("misaligned: address %#zx for %s, which needs a multiple of %d", p, m->type->name, 1 << m->log_alignment));
}
void __ubsan_handle_out_of_bounds_abort(Bounds *b, uintptr_t index) {
    bool is_signed = b->index->info & 1;
    fail_at(b->at.file, (int)b->at.line, format(is_signed ? "out of bounds: index %ld of an array of type %s" : "out of bounds: index %lu of an array of type %s",
                                                is_signed && b->index->info >> 1 == 5 ? (long)(int)index : (long)index, b->array->name));
}
}
void cuda_on_cpu_access(const void *p, size_t n, int write, const void *pc) {
    if (!inside) fail(pc, "a device function called on the host");
    if (n == 4 && write) hook<4, WRITE>((void *)p, pc);
    else if (n == 4) hook<4, READ>((void *)p, pc);
    else range(p, n, write ? WRITE : READ, pc);
}
void cuda_on_cpu_atomic(const void *p, size_t n, const void *pc) {
    if (!inside) fail(pc, "a device function called on the host");
    if ((uintptr_t)p % n) fail(pc, format("misaligned: atomic on %zu bytes at %p", n, p));
    range(p, n, ATOM, pc);
    if ((uintptr_t)p - BASE < SHARED) return;
    if (fence[me] >= block_tick) {                        /* publish: what was fenced by us, or by others before a barrier */
        Published *q = NULL;
        for (auto &x : published) if (x.flag == (uintptr_t)p && x.from == block_tick) q = &x;
        if (!q) published.push_back({ (uintptr_t)p, block_tick, UINT32_MAX, std::vector<uint32_t>((size_t)count_) }), q = &published.back();
        for (int t = 0; t < count_; t++) {
            uint32_t until = t == me ? fence[me] : fence_barrier[me];
            if (fence[t] >= block_tick && fence[t] < barrier_tick) until = std::max(until, fence[t]);
            q->until[(size_t)t] = std::max(q->until[(size_t)t], until);
        }
    }
    for (auto &a : acquired) if (a.flag == (uintptr_t)p && a.thread == me) return;
    acquired.push_back({ (uintptr_t)p, me, tick });
}
/* cp.async. From asking to waiting, the bytes are ones that nobody has written, and NaN: whoever reads them does not wait. They
 * arrive when their thread waits, which writes them: for others they are there after a barrier. */
struct Copy { char *to; const void *from, *pc; size_t size, zeros; unsigned group; };
static std::vector<Copy> (&copies)[1024] = *new std::vector<Copy>[1][1024];
static unsigned copy_group[1024];
void cuda_on_cpu_copy(void *to, const void *from, size_t size, size_t zeros, const void *pc) {
    if (!inside) fail(pc, "a device function called on the host");
    if ((size != 4 && size != 8 && size != 16) || zeros > size) fail(pc, format("cp.async of %zu bytes, %zu of them zeros: 4, 8 or 16", size, zeros));
    if (((uintptr_t)to | (zeros < size ? (uintptr_t)from : 0)) % size) fail(pc, format("misaligned: cp.async of %zu bytes from %p to %p", size, from, to));
    if ((uintptr_t)to - BASE >= SHARED) fail(pc, "cp.async: the destination is not shared memory");
    range(to, size, WRITE, pc), memset(to, 0xff, size);
    for (uintptr_t o = (uintptr_t)to - BASE; o < (uintptr_t)to - BASE + size; o += 4) {
        if (!(shadow[o / 4].flags & SPLIT)) split(o);     /* a byte's cell, once split, is looked at each time */
        for (uintptr_t b = o; b < o + 4; b++) bytes[b].wtime = 0;
    }
    copies[me].push_back({ (char *)to, from, pc, size, zeros, copy_group[me] });
}
void cuda_on_cpu_copy_commit() { copy_group[me]++; }
void cuda_on_cpu_copy_wait(size_t last) {
    std::vector<Copy> &q = copies[me];
    size_t done = 0;
    for (; done < q.size() && q[done].group + last < copy_group[me]; done++) {
        Copy &c = q[done];
        range(c.from, c.size - c.zeros, READ, c.pc), range(c.to, c.size, WRITE, c.pc);
        memset(c.to, 0, c.size), memcpy(c.to, c.from, c.size - c.zeros);
    }
    q.erase(q.begin(), q.begin() + (long)done);
}
void cuda_on_cpu_fence() { fence[me] = ++tick, fence_barrier[me] = barrier_tick; }

/* ---- coroutines ---- */

/* cuda_on_cpu_switch(&from, to): go on where `to` was left, and be left as `from`. What a call may not destroy is saved. */
extern "C" void cuda_on_cpu_switch(void **from, void *to);
#if defined __x86_64__
asm(".text\n.globl cuda_on_cpu_switch\n.hidden cuda_on_cpu_switch\n.type cuda_on_cpu_switch, @function\ncuda_on_cpu_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\nmov %rsp, (%rdi)\nmov %rsi, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n.size cuda_on_cpu_switch, . - cuda_on_cpu_switch\n");
static void *make_context(char *, char *top, void (*start)()) {
    void **sp = (void **)((uintptr_t)top & ~15ul);
    *--sp = NULL, *--sp = (void *)start;
    return sp - 6;
}
#else                                                     /* the same with what every C library has; slower */
void cuda_on_cpu_switch(void **from, void *to) {
    struct Saved { jmp_buf b; } here;
    *from = &here;
    if (_setjmp(here.b)) return;
    if ((uintptr_t)to & 1) setcontext((ucontext_t *)((uintptr_t)to & ~1ul));
    _longjmp(((Saved *)to)->b, 1);
}
static void *make_context(char *low, char *top, void (*start)()) {
    ucontext_t *boot = new ucontext_t;                    /* one for each coroutine: a few in a program's life */
    getcontext(boot);
    boot->uc_stack.ss_sp = low, boot->uc_stack.ss_size = (size_t)(top - low);
    makecontext(boot, start, 0);
    return (void *)((uintptr_t)boot | 1);
}
#endif
static void wait(int state) { threads[me].state = state; cuda_on_cpu_switch(&contexts[threads[me].coroutine], scheduler); }
static void loop() {                                      /* a coroutine serves one thread after another */
    for (;;) {
        body(body_arg);
        if (!copies[me].empty()) fail(copies[me].front().pc, "a thread returns before it has waited for this copy");
        idle.push_back(threads[me].coroutine);
        wait(DONE);
    }
}
static void enter(int t) {
    Thread &T = threads[me = t];
    if (T.coroutine < 0) T.coroutine = idle.back(), idle.pop_back();
    int i = T.coroutine;
    cuda_on_cpu_thread = T.index;
    warp = t / 32, lane_bit = 1u << t % 32, floor_ = std::max(barrier_tick, T.floor), my_stack = (uintptr_t)stacks + (size_t)i * STACK;
    if (!contexts[i])                                     /* stacks begin at different lines of the cache */
        contexts[i] = make_context((char *)my_stack, (char *)my_stack + STACK - (size_t)i * 1088 % (64 << 10), loop);
    cuda_on_cpu_switch(&scheduler, contexts[i]);
}
/* only inside a kernel is there somebody to wait for */
static void device_only(const char *what) { if (!inside) fail(NULL, string(what) + " called on the host"); }
int cuda_on_cpu_lane() { return me % 32; }
unsigned cuda_on_cpu_barrier(int line, int value) {
    device_only("__syncthreads");
    Thread &T = threads[me];
    T.pc = __builtin_return_address(0), T.line = line, T.op = CPU_SYNCTHREADS, T.value = value;
    wait(AT_BLOCK);
    return (unsigned)T.mask;
}
static const char *const op_names[] = { "__syncthreads", "__syncwarp", "a shuffle", "a vote", "a wmma function" };
const uint64_t *cuda_on_cpu_warp(int op, unsigned mask, uint64_t value, const void *pc) {
    device_only(op_names[op]);
    Thread &T = threads[me];
    T.pc = pc ? pc : __builtin_return_address(0), T.op = op, T.mask = mask;
    if (!(mask & lane_bit)) fail(T.pc, format("%s: the mask %#x does not name the calling lane %d", op_names[op], mask, me % 32));
    posted[me] = value;
    wait(AT_WARP);
    return results + (me & ~31);
}
uint64_t cuda_on_cpu_shfl(unsigned mask, uint64_t value, int source) {
    const void *pc = __builtin_return_address(0);
    const uint64_t *all = cuda_on_cpu_warp(CPU_SHFL, mask, value, pc);
    int t = (me & ~31) + source;
    if (source != me % 32 && (!(mask >> source & 1) || t >= count_ || (threads[t].state == DONE && threads[t].op != CPU_SHFL)))
        fail(pc, format("a shuffle reads from lane %d, which %s", source, t >= count_ ? "does not exist in this block"
                        : !(mask >> source & 1) ? "its mask does not name" : "has returned"));
    return all[source];
}
unsigned cuda_on_cpu_ballot(unsigned mask, int value) {
    const uint64_t *all = cuda_on_cpu_warp(CPU_VOTE, mask, value != 0, __builtin_return_address(0));
    unsigned r = 0;
    for (int i = 0; i < 32 && (me & ~31) + i < count_; i++) if (mask >> i & 1) r |= (unsigned)all[i] << i;
    return r;
}
unsigned cuda_on_cpu_active() { return lane_bit; }

/* all lanes of a warp wait or are done: lets those go on whose group is complete; false if none waits any more */
static bool release_warp(int first) {
    int n = std::min(32, count_ - first), waiting = -1, released = 0;
    uint32_t alive = 0;
    for (int i = 0; i < n; i++) if (threads[first + i].state != DONE) alive |= 1u << i;
    for (int i = 0; i < n; i++) {
        Thread &T = threads[first + i];
        if (T.state != AT_WARP) continue;
        if (T.op == CPU_WMMA && alive != 0xffffffff) {
            me = first + i, cuda_on_cpu_thread = T.index;
            fail(T.pc, format("a wmma function with %d lanes; it needs the 32 of a whole warp", __builtin_popcount(alive)));
        }
        unsigned group = T.mask & alive, there = 0;
        for (int j = 0; j < n; j++) {
            Thread &U = threads[first + j];
            if ((group >> j & 1) && U.state == AT_WARP && U.op == T.op && U.mask == T.mask) there |= 1u << j;
        }
        if (there != group) { waiting = i; continue; }
        if (T.op == CPU_SYNCWARP) {
            tick++;
            if (group == alive) warp_tick[first / 32] = tick;
            else {                                        /* everyone in the group learns what anyone in it knew */
                uint32_t all[32] = {};
                for (int j = 0; j < n; j++)
                    if (group >> j & 1) for (int k = 0; k < 32; k++) all[k] = std::max(all[k], clocks[first + j][k]);
                for (int k = 0; k < 32; k++) if (group >> k & 1) all[k] = tick;
                for (int j = 0; j < n; j++) if (group >> j & 1) memcpy(clocks[first + j], all, sizeof all);
            }
        }
        for (int j = 0; j < n; j++)
            if (group >> j & 1) {
                threads[first + j].state = READY, results[first + j] = posted[first + j];
                if (T.op == CPU_SYNCWARP) threads[first + j].floor = tick;
            }
        released++;
    }
    if (released) return true;
    if (waiting < 0) return false;
    Thread &T = threads[first + waiting];
    for (int j = 0; j < n; j++) {
        Thread &U = threads[first + j];
        if (!(T.mask & alive & 1u << j) || (U.state == AT_WARP && U.op == T.op && U.mask == T.mask)) continue;
        me = first + waiting, cuda_on_cpu_thread = T.index;
        fail(T.pc, format("divergence: lane %d waits at %s with mask %#x, but lane %d, which the mask names, waits at %s at %s%s",
                waiting, op_names[T.op], T.mask, j, op_names[U.op], where(U.pc).c_str(), U.state == AT_WARP && U.mask != T.mask ? format(" with mask %#x", U.mask).c_str() : ""));
    }
    return false;
}
/* every thread of the block waits at a barrier or is done: false if all are done */
static bool release_block() {
    Thread &first = threads[0];
    unsigned votes = 0;
    for (int t = 0; t < count_; t++) {
        Thread &T = threads[t];
        votes += T.state == AT_BLOCK && T.value;
        if (T.state == first.state && (T.state == DONE || T.line == first.line)) continue;
        Thread &at = T.state == AT_BLOCK ? T : first, &other = T.state == AT_BLOCK ? first : T;
        me = (int)(&at - threads), cuda_on_cpu_thread = at.index;
        string other_name = thread_name((int)(&other - threads));
        fail(at.pc, other.state == DONE
                ? format("divergence: waits at __syncthreads, but thread %s has returned", other_name.c_str())
                : format("divergence: waits at __syncthreads, but thread %s waits at another one, at %s", other_name.c_str(), where(other.pc).c_str()));
    }
    if (first.state == DONE) return false;
    barrier_tick = ++tick;
    for (int t = 0; t < count_; t++) threads[t].state = READY, threads[t].mask = votes;
    return true;
}

/* ---- launches ---- */

static cudaError_t last_error, broken;                    /* broken: no device, or a driver too old: every call says so */
static string &unasked = *new string;                                    /* a launch that failed, until somebody asks for the error */
static size_t max_dynamic = 99 << 10;
static size_t device_memory = (size_t)4 << 30, device_used;
static int devices = 1, driver = CUDART_VERSION, capability = 80, refuse_launch;
static void flush_for(cudaStream_t s);
static void set_up();
#define ENTER do { set_up(); if (broken) return last_error = broken; } while (0)

static string readable(const char *pretty) {              /* "void f(A) [with T = int]" -> "f<T = int>" */
    string s = pretty, with;
    size_t w = s.find(" [with ");
    if (w != string::npos) with = s.substr(w + 7, s.size() - w - 8), s.erase(w);
    size_t open = s.find('('), start = 0;
    int depth = 0;
    for (size_t i = 0; i < open; i++) {
        depth += (s[i] == '<') - (s[i] == '>');
        if (!depth && (s[i] == ' ' || s[i] == '*' || s[i] == '&')) start = i + 1;
    }
    string list;                                          /* "int TILE = 16; T = float": without the types of the names */
    for (size_t i = 0, end; i < with.size(); i = end + 1) {
        end = std::min(with.find(';', i), with.size());
        size_t name = with.rfind(' ', with.find(" = ", i) - 1) + 1;
        list += (list.empty() ? "" : ", ") + with.substr(name > i && name < end ? name : i, end - (name > i && name < end ? name : i));
    }
    return s.substr(start, open - start) + (list.empty() ? "" : "<" + list + ">");
}
static void refuse(cudaError_t e, const string &why) {
    last_error = e;
    unasked = why;
    refused = 1;
}
void cuda_on_cpu_kernel(const char *name, unsigned bound, unsigned) {
    if (querying) kernel_raw = name, _longjmp(query, 1);
    if (kernel_raw == name) return;
    if (kernel_raw) fail(__builtin_return_address(0), "a kernel calls another kernel");
    kernel_raw = name;
    Kernel &k = known_kernels[name];
    if (k.name.empty()) k.name = readable(name);
    kernel_name = k.name;
    if (dynamic_size > (48 << 10) && dynamic_size > k.dynamic)
        refuse(cudaErrorInvalidValue, format("%zu bytes of dynamic shared memory; more than 49152 need cudaFuncSetAttribute(kernel, "
               "cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), which allows %zu here", dynamic_size, k.dynamic));
    else if ((unsigned)count_ > bound)
        refuse(cudaErrorInvalidConfiguration, format("%d threads a block, __launch_bounds__ says %u", count_, bound));
    if (!refused) { kernels.insert(k.name); return; }
    void *given_up;                                       /* this coroutine, half-way through the kernel's first line */
    contexts[threads[me].coroutine] = NULL, idle.push_back(threads[me].coroutine);
    cuda_on_cpu_switch(&given_up, scheduler);
}
static string launched_at(const cuda_on_cpu::Launch *l) { return format("%s:%d", shorter(l->file).c_str(), l->line); }
void cuda_on_cpu::Launch::run(const char *name, void (*thread)(void *), void *arg) {
    set_up();
    if (inside) fail(__builtin_return_address(0), "a launch inside a kernel");
    string at = launched_at(this);
    auto bad = [&](cudaError_t e, const string &why) { refuse(e, at + ": the launch of " + name + " fails: " + why); refused = 0; };
    if (broken) return bad(broken, cudaGetErrorString(broken));
    if (refuse_launch && --refuse_launch == 0) return bad(cudaErrorLaunchOutOfResources, "as CUDA_ON_CPU_REFUSE asks");
    size_t n = (size_t)block.x * block.y * block.z;
    if (!n || n > 1024 || block.x > 1024 || block.y > 1024 || block.z > 64)
        return bad(cudaErrorInvalidConfiguration, format("a block of %ux%ux%u threads", block.x, block.y, block.z));
    if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
        return bad(cudaErrorInvalidConfiguration, format("a grid of %ux%ux%u blocks", grid.x, grid.y, grid.z));
    if (shared > max_dynamic) return bad(cudaErrorInvalidValue, format("%zu bytes of dynamic shared memory, the device has %zu", shared, max_dynamic));
    flush_for(stream);
    kernel_name = name, kernel_raw = NULL;
    cuda_on_cpu_grid = grid, cuda_on_cpu_size = block;
    body = thread, body_arg = arg, count_ = (int)n, dynamic_size = shared, static_size = 0;
    if (dynamic_known > shared) memset((void *)shadow, 0, (dynamic_known + 3) / 4 * sizeof(Cell)), dynamic_known = 0;
    if (tick > FORGET) {                             /* four billion barriers: forget who wrote what, keep that it was written */
        for (auto &a : allocations)
            for (uintptr_t o = a.first - BASE; o < a.first - BASE + a.second.size; o++) {
                if (o % 4 == 0 && shadow[o / 4].wtime) shadow[o / 4].wtime = 1, shadow[o / 4].rtime = 0;
                if (shadow[o / 4].flags & SPLIT) bytes[o].wtime = bytes[o].wtime != 0, bytes[o].rtime = 0;
            }
        madvise(shadow, SHARED / 4 * sizeof(Cell), MADV_DONTNEED), dynamic_known = 0;         /* zeros again */
        memset(clocks, 0, sizeof clocks), memset(fence, 0, sizeof fence);
        tick = RECENT;
    }
    launch_tick = ++tick, launch_number++, refused = 0;
    block_ticks.clear(), published.clear();
    for (unsigned t = 0; t < n; t++) threads[t].index = { t % block.x, t / block.x % block.y, t / (block.x * block.y) };
    size_t blocks = (size_t)grid.x * grid.y * grid.z;
    int warps = ((int)n + 31) / 32;
    Open window;
    for (size_t i = 0; i < blocks && !refused; i++) {
        size_t k = reverse ? blocks - 1 - i : i;
        cuda_on_cpu_block = { (unsigned)(k % grid.x), (unsigned)(k / grid.x % grid.y), (unsigned)(k / grid.x / grid.y) };
        if (!published.empty() && published.back().to == UINT32_MAX)
            for (auto &p : published) if (p.to == UINT32_MAX) p.to = tick + 1;
        block_tick = barrier_tick = ++tick;
        block_ticks.push_back(tick), acquired.clear();
        for (int w = 0; w < warps; w++) warp_tick[w] = tick;
        for (unsigned t = 0; t < n; t++) threads[t].state = READY, threads[t].floor = 0, threads[t].coroutine = -1;
        do {
            inside = 1, limit = WINDOW;
            for (int j = 0; j < warps && !refused; j++) {
                int first = 32 * (reverse ? warps - 1 - j : j), lanes = std::min(32, count_ - first);
                do
                    for (int l = 0; l < lanes && !refused; l++) {
                        int t = first + (reverse ? lanes - 1 - l : l);
                        if (threads[t].state == READY) enter(t);
                    }
                while (!refused && release_warp(first));
            }
        } while (!refused && release_block());
        inside = 0, limit = 0;
    }
    if (refused) bad(last_error, unasked);
    else launches++;
}
/* A variable in __shared__ keeps its address for good; a gap as large as itself follows it, and nobody is aligned better than
 * his type asks for, so that a float array read as float4 is found out. */
void *cuda_on_cpu::shared(Slot *slot, size_t size, size_t align) {
    static uintptr_t top = BASE + SLOTS;
    if (slot->launch == launch_number) return slot->address;
    if (!slot->address) {
        uintptr_t p = (top + 2 * align - 1) / (2 * align) * 2 * align + align;
        top = p + size + std::max(size, (size_t)1024);
        if (top > BASE + SHARED) fail(__builtin_return_address(0), "too many __shared__ variables");
        slot->address = (char *)p;
        slots[p] = { slot, size };
    }
    slot->launch = launch_number;
    static_size = (static_size + align - 1) / align * align + size;
    if (static_size > (48 << 10))
        fail(__builtin_return_address(0), format("%zu bytes of __shared__ variables, a kernel may have 49152", static_size));
    if (static_size + dynamic_size > std::max((size_t)(48 << 10), max_dynamic))
        fail(__builtin_return_address(0), format("%zu bytes of shared memory, the device has %zu", static_size + dynamic_size, max_dynamic));
    return slot->address;
}

/* ---- setting up, and the end ---- */

static void on_signal(int number, siginfo_t *info, void *context) {
    const ucontext_t *u = (const ucontext_t *)context;
    const char *pc = NULL;
#if defined __x86_64__
    pc = (const char *)u->uc_mcontext.gregs[REG_RIP];
#elif defined __aarch64__
    pc = (const char *)u->uc_mcontext.pc;
#endif
    uintptr_t p = (uintptr_t)info->si_addr;
    signal(number, SIG_DFL);
    if (!inside) {                                        /* the host's own affair, unless it took a device's pointer */
        if (number != SIGSEGV || p - BASE >= WINDOW) return;
        void *from[64];                                   /* memcpy and the like stand in a library: who called it? */
        int n = backtrace(from, 64), i = 0;
        while (i < n && from[i] != (const void *)pc) i++;
        while (i < n && (from[i] < (void *)__executable_start || from[i] >= (void *)_end)) i++;
        fail(i < n ? (const char *)from[i] + (from[i] == (const void *)pc) : pc, "touches device memory, " + describe(p - BASE));
        return;
    }
    fail(pc + 1, number == SIGFPE ? "integer division by zero" : number == SIGILL ? "__trap()"
         : p - my_stack < 4096 ? "the stack of 256 KB has overflowed" : format("touches memory that is not there (%p)", info->si_addr));
}
static void at_exit() {
    if (!unasked.empty()) {
        fflush(stdout);
        fprintf(stderr, "cuda_on_cpu: %s; nobody asked cudaGetLastError\n", unasked.c_str());
        leave_with_error();
    }
    const char *leaks = getenv("CUDA_ON_CPU_LEAKS");
    if (!allocations.empty() && !(leaks && !strcmp(leaks, "0"))) {
        size_t total = 0;
        for (auto &a : allocations) total += a.second.size;
        fflush(stdout);
        fprintf(stderr, "cuda_on_cpu: %s: leak: %zu bytes from %zu calls of cudaMalloc, the first here, never given to cudaFree\n",
                where(allocations.begin()->second.pc).c_str(), total, allocations.size());
        if (leaks) leave_with_error();
    }
    if (getenv("CUDA_ON_CPU_SUMMARY"))
        fflush(stdout), fprintf(stderr, "cuda_on_cpu: no errors found in %ld launches of %zu kernels\n", launches, kernels.size());
}
__attribute__((constructor(101))) static void first_of_all() { atexit(at_exit); }
static void reserve(void *at, size_t size) {
    if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == at) return;
    fprintf(stderr, "cuda_on_cpu: cannot reserve %zu GB of addresses at %p (ulimit -v?)\n", size >> 30, at);
    leave_with_error();
}
static long environment(const char *name, long otherwise) {
    const char *v = getenv(name);
    return v && *v ? atol(v) : otherwise;
}
static void set_up() {
    static bool done;
    if (done) return;
    done = true;
    devices = (int)environment("CUDA_ON_CPU_DEVICES", devices);
    driver = (int)environment("CUDA_ON_CPU_DRIVER", driver);
    capability = (int)environment("CUDA_ON_CPU_CC", capability);
    device_memory = std::min((size_t)environment("CUDA_ON_CPU_MEMORY", (long)device_memory), (size_t)4 << 30);
    reverse = environment("CUDA_ON_CPU_REVERSE", 0) != 0;
    refuse_launch = (int)environment("CUDA_ON_CPU_REFUSE", 0);
    broken = driver < CUDART_VERSION ? cudaErrorInsufficientDriver : devices < 1 ? cudaErrorNoDevice : cudaSuccess;
    reserve((void *)BASE, WINDOW);
    if (!environment("CUDA_ON_CPU_NO_KEY", 0)) key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
    if (key < 0 || pkey_mprotect((void *)BASE, WINDOW, PROT_READ | PROT_WRITE, key)) key = -1, open_window(false);
    reserve(shadow, WINDOW / 4 * sizeof(Cell)), reserve(bytes, WINDOW * sizeof(Cell));
    reserve(shadow_places, WINDOW / 4 * sizeof(Places)), reserve(bytes_places, WINDOW * sizeof(Places));
    stacks = (char *)mmap(0, 1024 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (int t = 1023; t >= 0; t--) idle.push_back(t), mprotect(stacks + (size_t)t * STACK, 4096, PROT_NONE);
    dl_iterate_phdr([](dl_phdr_info *info, size_t, void *) {
        static int n;
        if (n++ == 0) image = info->dlpi_addr;
        for (int i = 0; i < info->dlpi_phnum; i++) {
            const auto &h = info->dlpi_phdr[i];
            if ((h.p_type == PT_LOAD && !(h.p_flags & PF_W)) || h.p_type == PT_GNU_RELRO)
                constants.push_back({ info->dlpi_addr + h.p_vaddr, info->dlpi_addr + h.p_vaddr + h.p_memsz });
        }
        return 0;
    }, NULL);
    static char stack[64 << 10];
    stack_t alternate = { stack, 0, sizeof stack };
    sigaltstack(&alternate, NULL);
    struct sigaction action = {};
    action.sa_sigaction = on_signal, action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int s : { SIGSEGV, SIGBUS, SIGFPE, SIGILL }) sigaction(s, &action, NULL);
}

/* ---- memory ---- */

static void mark(uintptr_t o, size_t n) {                 /* the host has written these bytes */
    const Cell written = { 1, 0, 0, 0, 0, KNOWN };
    for (uintptr_t p = o, end = o + n; p < end; ) {
        uintptr_t word = p & ~(uintptr_t)3;
        if (p == word && p + 4 <= end) shadow[p / 4] = written, p += 4;
        else {
            if (!(shadow[word / 4].flags & SPLIT)) learn(p), (shadow[word / 4].flags & SPLIT) || (split(word), 0);
            bytes[p++] = written;
        }
    }
}
static bool on_device(const void *p, size_t n) {
    uintptr_t from, to, o = (uintptr_t)p - BASE;
    return o >= SHARED && o < WINDOW && extent(o, &from, &to) && o + n <= to;
}
cudaError_t cuda_on_cpu_malloc(void **p, size_t n) {
    ENTER;
    static const uintptr_t bottom = BASE + SHARED + (1 << 20);
    static uintptr_t top = bottom, turn = 0;                    /* next fit, so that freed addresses come back as late as can be */
    if (n == 0) return *p = NULL, cudaSuccess;
    if (n > device_memory - device_used) return last_error = cudaErrorMemoryAllocation;
    size_t room = (n + 511) / 256 * 256;                  /* at least 256 bytes to the next */
    if (turn > (64 << 20)) top = bottom, turn = 0;       /* small pieces keep their pages; begin again before they are many */
    for (int round = 0;; round++) {
        if (round == 2) return last_error = cudaErrorMemoryAllocation;
        auto next = allocations.upper_bound(top);
        if (next != allocations.begin()) {
            auto before = std::prev(next);
            top = std::max(top, before->first + (before->second.size + 511) / 256 * 256);
        }
        while (next != allocations.end() && next->first < top + room)
            top = next->first + (next->second.size + 511) / 256 * 256, ++next;
        if (top + room <= BASE + WINDOW) break;
        top = bottom;
    }
    auto f = freed.lower_bound(top);
    if (f != freed.begin() && std::prev(f)->first + std::prev(f)->second > top) --f;
    while (f != freed.end() && f->first < top + room) f = freed.erase(f);
    allocations[top] = { n, __builtin_return_address(0) };
    device_used += n;
    *p = (void *)top;
    top += room;
    if (n < (1 << 20)) turn += room;
    return cudaSuccess;
}
static void flush_all();
cudaError_t cudaFree(void *p) {
    ENTER;
    if (!p) return cudaSuccess;
    flush_all();
    auto a = allocations.find((uintptr_t)p);
    if (a == allocations.end()) {
        auto f = freed.find((uintptr_t)p);
        fail(__builtin_return_address(0), f != freed.end() ? format("cudaFree of %p a second time", p) : format("cudaFree of %p, which is not from cudaMalloc", p));
    }
    uintptr_t o = (uintptr_t)p - BASE;
    size_t n = a->second.size;
    if (n < (1 << 20)) memset((void *)(shadow + o / 4), 0, (n + 3) / 4 * sizeof(Cell));
    else {
        Open window(p, n);                                /* whole pages go back to the system and read as zeros again */
        auto give_back = [](char *from, char *to) {
            char *first = (char *)(((uintptr_t)from + 4095) & ~4095ul), *last = (char *)((uintptr_t)to & ~4095ul);
            madvise(first, (size_t)(last - first), MADV_DONTNEED);
            memset(from, 0, (size_t)(first - from)), memset(last, 0, (size_t)(to - last));
        };
        give_back((char *)p, (char *)p + n);
        give_back((char *)(shadow + o / 4), (char *)(shadow + (o + n + 3) / 4));
    }
    freed[a->first] = n;
    allocations.erase(a);
    device_used -= n;
    return cudaSuccess;
}
cudaError_t cuda_on_cpu_malloc_host(void **p, size_t n) {
    ENTER;
    *p = aligned_alloc(4096, (n + 4095) / 4096 * 4096 + (n == 0) * 4096);
    if (!*p) return last_error = cudaErrorMemoryAllocation;
    pinned[(uintptr_t)*p] = n;
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void *p) {
    ENTER;
    flush_all();
    if (p && !pinned.erase((uintptr_t)p)) fail(__builtin_return_address(0), format("cudaFreeHost of %p, which is not from cudaMallocHost", p));
    free(p);
    return cudaSuccess;
}
static void copy(void *to, const void *from, size_t n) {
    Open there(to, n), here(from, n);
    memmove(to, from, n);
    uintptr_t d = (uintptr_t)to - BASE, s = (uintptr_t)from - BASE;
    if (d < WINDOW && s < WINDOW)                         /* device to device: what was not written still is not */
        for (size_t i = 0; i < n; i += 4) { if (shadow[(s + i) / 4].wtime || (shadow[(s + i) / 4].flags & SPLIT)) mark(d + i, std::min((size_t)4, n - i)); }
    else if (d < WINDOW) mark(d, n);
    else if (s < WINDOW)                                  /* never written: the host gets NaN */
        for (size_t i = 0; i < n; i += 4)
            if (!shadow[(s + i) / 4].wtime && !(shadow[(s + i) / 4].flags & SPLIT)) memset((char *)to + i, 0xff, std::min((size_t)4, n - i));
}
static void check_copy(const char *what, const void *to, const void *from, size_t n, cudaMemcpyKind kind, const void *pc) {
    for (int side = 0; side < 2; side++) {
        const void *p = side ? from : to;
        bool device = (uintptr_t)p - BASE < WINDOW, want = side ? kind & 2 : kind & 1 || kind == cudaMemcpyDeviceToDevice;
        if (kind == cudaMemcpyDeviceToDevice) want = true;
        if (kind != cudaMemcpyDefault && device != want)
            fail(pc, format("%s: the %s is %s memory, the direction says otherwise", what, side ? "source" : "destination", device ? "device" : "host"));
        if (device && !on_device(p, n)) {
            uintptr_t from_, to_, o = (uintptr_t)p - BASE;
            if (extent(o, &from_, &to_)) fail(pc, format("out of bounds: %s of %zu bytes at %s", what, n, describe(o).c_str()));
            fail(pc, format("out of bounds: %s at %s", what, describe(o).c_str()));
        }
    }
}

/* ---- streams: copies to and from pinned memory happen as late as CUDA allows, all else at once ---- */

struct Pending { void *to; const void *from; size_t n; struct CudaOnCpuStream *stream; unsigned long upto, number; };
struct CudaOnCpuStream { unsigned flags; unsigned long number; std::deque<Pending> pending; };
struct CudaOnCpuEvent { CudaOnCpuStream *stream; unsigned long number; double time; unsigned flags; bool recorded; };
static CudaOnCpuStream &null_stream = *new CudaOnCpuStream{ 0, 0, {} };
static std::set<CudaOnCpuStream *> &streams = *new std::set<CudaOnCpuStream *>;
static std::set<CudaOnCpuEvent *> &events = *new std::set<CudaOnCpuEvent *>;
static CudaOnCpuStream *stream_of(cudaStream_t s) { return s ? s : &null_stream; }
static bool valid(cudaStream_t s) { return !s || streams.count(s); }
static void flush(CudaOnCpuStream *s, unsigned long upto) {
    if (s != &null_stream && !streams.count(s)) return;
    while (!s->pending.empty() && s->pending.front().number <= upto) {
        Pending p = s->pending.front();
        s->pending.pop_front();
        if (p.stream) flush(p.stream, p.upto);
        else copy(p.to, p.from, p.n);
    }
}
static void flush_all() {
    flush(&null_stream, ~0ul);
    for (auto s : streams) flush(s, ~0ul);
}
/* before work on s: its own, and between the null stream and those not created with cudaStreamNonBlocking, the other's */
static void flush_others(CudaOnCpuStream *s) {
    if (s == &null_stream) { for (auto t : streams) if (!(t->flags & cudaStreamNonBlocking)) flush(t, ~0ul); }
    else if (!(s->flags & cudaStreamNonBlocking)) flush(&null_stream, ~0ul);
}
static void flush_for(cudaStream_t t) {
    if (!valid(t)) fail(NULL, "a launch on a stream that does not exist");
    flush_others(stream_of(t)), flush(stream_of(t), ~0ul);
}
static double seconds() { timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec + (double)t.tv_nsec * 1e-9; }
#define STREAM(s) do { ENTER; if (!valid(s)) return last_error = cudaErrorInvalidResourceHandle; } while (0)
#define EVENT(e)  do { ENTER; if (!events.count(e)) return last_error = cudaErrorInvalidResourceHandle; } while (0)

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind kind, cudaStream_t t) {
    STREAM(t);
    if (n == 0) return cudaSuccess;
    check_copy("cudaMemcpyAsync", to, from, n, kind, __builtin_return_address(0));
    CudaOnCpuStream *s = stream_of(t);
    flush_others(s);
    bool d = (uintptr_t)to - BASE < WINDOW, f = (uintptr_t)from - BASE < WINDOW;
    if ((d || is_pinned(to)) && (f || is_pinned(from)) && !(d && f)) {
        if (f) {                                          /* nobody may look at the destination before it is there */
            bool busy = false;
            for (auto &p : s->pending) busy |= !p.stream && (const char *)p.from < (char *)to + n && (char *)to < (const char *)p.from + p.n;
            if (!busy) memset(to, 0xff, n);
        }
        s->pending.push_back({ to, from, n, NULL, 0, ++s->number });
    } else flush(s, ~0ul), copy(to, from, n);
    return cudaSuccess;
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t n, cudaMemcpyKind kind) {
    ENTER;
    flush_for(0);
    if (n == 0) return cudaSuccess;
    check_copy("cudaMemcpy", to, from, n, kind, __builtin_return_address(0));
    copy(to, from, n);
    return cudaSuccess;
}
static cudaError_t set(void *p, int byte, size_t n, cudaStream_t t, const void *pc) {
    STREAM(t);
    flush_for(t);
    if (n == 0) return cudaSuccess;
    check_copy("cudaMemset", p, p, n, (uintptr_t)p - BASE < WINDOW ? cudaMemcpyDefault : cudaMemcpyDeviceToDevice, pc);
    Open window(p, n);
    memset(p, byte, n), mark((uintptr_t)p - BASE, n);
    return cudaSuccess;
}
cudaError_t cudaMemset(void *p, int byte, size_t n) { return set(p, byte, n, 0, __builtin_return_address(0)); }
cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t t) { return set(p, byte, n, t, __builtin_return_address(0)); }
cudaError_t cuda_on_cpu_symbol(void *symbol, void *host, size_t size, size_t n, size_t offset, int to) {
    ENTER;
    flush_for(0);
    if (offset + n > size) fail(__builtin_return_address(0), format("out of bounds: %zu bytes at %zu of a symbol of %zu", n, offset, size));
    if (to) memcpy((char *)symbol + offset, host, n);
    else memcpy(host, (char *)symbol + offset, n);
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags) {
    ENTER;
    streams.insert(*s = new CudaOnCpuStream{ flags, 0, {} });
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *s) { return cudaStreamCreateWithFlags(s, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t s) { STREAM(s); flush(stream_of(s), ~0ul); if (s) streams.erase(s), delete s; return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t s) { STREAM(s); flush_for(s); return cudaSuccess; }
cudaError_t cudaStreamQuery(cudaStream_t s) {             /* once "not ready", so that programs that ask meet it */
    STREAM(s);
    bool busy = !stream_of(s)->pending.empty();
    return flush_for(s), busy ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
    EVENT(e);
    STREAM(s);
    if (e->recorded && e->stream != stream_of(s)) stream_of(s)->pending.push_back({ NULL, NULL, 0, e->stream, e->number, ++stream_of(s)->number });
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags) {
    ENTER;
    events.insert(*e = new CudaOnCpuEvent{ NULL, 0, 0, flags, false });
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
    EVENT(e);
    STREAM(s);
    e->stream = stream_of(s), e->number = stream_of(s)->number, e->time = seconds(), e->recorded = true;
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) { EVENT(e); if (e->recorded) flush(e->stream, e->number); return cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t e) {
    EVENT(e);
    bool busy = e->recorded && (e->stream == &null_stream || streams.count(e->stream)) && !e->stream->pending.empty()
                && e->stream->pending.front().number <= e->number;
    if (busy) flush(e->stream, e->number);
    return busy ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b) {
    EVENT(a);
    EVENT(b);
    if (!a->recorded || !b->recorded || ((a->flags | b->flags) & cudaEventDisableTiming)) return last_error = cudaErrorInvalidResourceHandle;
    flush(a->stream, a->number), flush(b->stream, b->number);
    *ms = (float)((b->time - a->time) * 1e3);
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t e) { EVENT(e); events.erase(e), delete e; return cudaSuccess; }

/* ---- the device ---- */

cudaError_t cudaDeviceSynchronize() { ENTER; flush_all(); return cudaSuccess; }
cudaError_t cudaDeviceReset() { ENTER; flush_all(); return cudaSuccess; }
cudaError_t cudaGetLastError() { cudaError_t e = last_error; last_error = cudaSuccess, unasked.clear(); return e; }
cudaError_t cudaPeekAtLastError() { unasked.clear(); return last_error; }
#define CUDA_ON_CPU_NAME(name, number, text) case name: return #name;
#define CUDA_ON_CPU_TEXT(name, number, text) case name: return text;
const char *cudaGetErrorName(cudaError_t e) { switch (e) { CUDA_ON_CPU_ERRORS(CUDA_ON_CPU_NAME) } return "unrecognized error code"; }
const char *cudaGetErrorString(cudaError_t e) { switch (e) { CUDA_ON_CPU_ERRORS(CUDA_ON_CPU_TEXT) } return "unrecognized error code"; }
cudaError_t cudaGetDeviceCount(int *n) { *n = 0; ENTER; *n = devices; return cudaSuccess; }
cudaError_t cudaSetDevice(int d) { ENTER; return d >= 0 && d < devices ? cudaSuccess : last_error = cudaErrorInvalidDevice; }
cudaError_t cudaGetDevice(int *d) { ENTER; *d = 0; return cudaSuccess; }
cudaError_t cudaSetDeviceFlags(unsigned) { ENTER; return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int d) {
    ENTER;
    if (d < 0 || d >= devices) return last_error = cudaErrorInvalidDevice;
    *p = {};
    snprintf(p->name, sizeof p->name, "cuda_on_cpu");
    p->totalGlobalMem = device_memory, p->totalConstMem = 64 << 10;
    p->sharedMemPerBlock = 48 << 10, p->sharedMemPerBlockOptin = max_dynamic, p->sharedMemPerMultiprocessor = max_dynamic + 1024;
    p->major = capability / 10, p->minor = capability % 10, p->multiProcessorCount = 4, p->warpSize = 32;
    p->maxThreadsPerBlock = 1024, p->maxThreadsPerMultiProcessor = 1536, p->regsPerBlock = 65536, p->l2CacheSize = 4 << 20;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 0x7fffffff, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->clockRate = 1000000, p->memoryClockRate = 1000000, p->memoryBusWidth = 128, p->asyncEngineCount = 1, p->concurrentKernels = 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *v, cudaDeviceAttr a, int d) {
    cudaDeviceProp p;
    cudaError_t e = cudaGetDeviceProperties(&p, d);
    if (e != cudaSuccess) return e;
    switch (a) {
        case cudaDevAttrMaxThreadsPerBlock: *v = p.maxThreadsPerBlock; break;
        case cudaDevAttrMaxSharedMemoryPerBlock: *v = (int)p.sharedMemPerBlock; break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: *v = (int)p.sharedMemPerBlockOptin; break;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *v = (int)p.sharedMemPerMultiprocessor; break;
        case cudaDevAttrWarpSize: *v = p.warpSize; break;
        case cudaDevAttrClockRate: *v = p.clockRate; break;
        case cudaDevAttrMemoryClockRate: *v = p.memoryClockRate; break;
        case cudaDevAttrGlobalMemoryBusWidth: *v = p.memoryBusWidth; break;
        case cudaDevAttrL2CacheSize: *v = p.l2CacheSize; break;
        case cudaDevAttrIntegrated: *v = p.integrated; break;
        case cudaDevAttrMultiProcessorCount: *v = p.multiProcessorCount; break;
        case cudaDevAttrMaxThreadsPerMultiProcessor: *v = p.maxThreadsPerMultiProcessor; break;
        case cudaDevAttrComputeCapabilityMajor: *v = p.major; break;
        case cudaDevAttrComputeCapabilityMinor: *v = p.minor; break;
        default: return last_error = cudaErrorInvalidValue;
    }
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *free_, size_t *total) { ENTER; *free_ = device_memory - device_used, *total = device_memory; return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int *v) { set_up(); *v = driver; return cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *v) { *v = CUDART_VERSION; return cudaSuccess; }
/* which kernel is this? Call it, whatever its parameters are: the first thing it does is to tell, and there it is left */
static Kernel &kernel_of(const void *f) {
    querying = 1;
    if (!_setjmp(query)) ((void (*)())f)();
    querying = 0;
    Kernel &k = known_kernels[kernel_raw];
    if (k.name.empty()) k.name = readable(kernel_raw);
    return k;
}
cudaError_t cuda_on_cpu_set_attribute(const void *f, int a, int v) {
    ENTER;
    if (a != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (v < 0 || (size_t)v > max_dynamic) return last_error = cudaErrorInvalidValue;
    kernel_of(f).dynamic = (size_t)v;
    return cudaSuccess;
}
cudaError_t cuda_on_cpu_get_attributes(cudaFuncAttributes *a, const void *f) {
    ENTER;
    *a = {};
    a->maxThreadsPerBlock = 1024, a->numRegs = 32, a->ptxVersion = a->binaryVersion = capability;
    a->maxDynamicSharedSizeBytes = (int)std::max((size_t)(48 << 10), kernel_of(f).dynamic);
    return cudaSuccess;
}
