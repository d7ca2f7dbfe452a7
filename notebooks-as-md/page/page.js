// page.js: draws, and asks the C code (glue.c) for everything else. Each room has a Web Worker of its own,
// so the page stays awake while C computes.
'use strict';

// ---- the worker: the C code, and the few system calls that it makes ----
function engine() {
  const files = {}, open = {};
  let c, memory, said = '';
  const bytes = (at, n) => new Uint8Array(memory.buffer, at, n), view = () => new DataView(memory.buffer);
  const name = (at, n) => new TextDecoder().decode(bytes(at, n)).replace(/^\.?\//, '');
  const stat = (at, size, kind) => { bytes(at, 64).fill(0); view().setUint8(at + 16, kind);
    view().setBigUint64(at + 32, BigInt(size), true); return 0; };
  const kindOf = path => files[path] ? 4 : path === '.' || path === '' ? 3 : 0;
  const vectors = (list, n, total, f) => {               // f(part) for each buffer; its bytes in all
    let sum = 0;
    for (let i = 0; i < n; i++)
      sum += f(bytes(view().getUint32(list + 8 * i, true), view().getUint32(list + 8 * i + 4, true)));
    view().setUint32(total, sum, true);
    return 0;
  };
  const OK = 0, BAD = 8, NONE = 44;                      // of WASI, preview 1: its error numbers
  const system = {
    fd_prestat_get: (fd, at) => fd !== 3 ? BAD : (view().setUint32(at, 0, true), view().setUint32(at + 4, 1, true), OK),
    fd_prestat_dir_name: (fd, at) => (bytes(at, 1)[0] = 47, OK),
    fd_fdstat_get: (fd, at) => { bytes(at, 24).fill(255); view().setUint16(at + 2, 0, true);
      view().setUint8(at, fd === 3 ? 3 : open[fd] ? 4 : 2); return OK; },
    path_filestat_get: (fd, flags, at, n, to) => { const path = name(at, n), kind = kindOf(path);
      return kind ? stat(to, files[path] ? files[path].length : 0, kind) : NONE; },
    path_open: (fd, flags, at, n, how, rights, more, f, to) => { const path = name(at, n);
      if (!files[path]) return NONE;
      let free = 4; while (open[free]) free++;
      open[free] = { data: files[path], at: 0 }; view().setUint32(to, free, true); return OK; },
    fd_read: (fd, list, n, total) => vectors(list, n, total, part => { const o = open[fd];
      const got = o.data.subarray(o.at, o.at + part.length); part.set(got); o.at += got.length; return got.length; }),
    fd_seek: (fd, by, from, to) => { const o = open[fd]; if (!o) return 70;
      o.at = Number(by) + [0, o.at, o.data.length][from]; view().setBigUint64(to, BigInt(o.at), true); return OK; },
    fd_close: fd => (delete open[fd], OK),
    fd_write: (fd, list, n, total) => vectors(list, n, total, part => {
      if (fd === 2) said += new TextDecoder().decode(part); return part.length; }),
    proc_exit: () => { throw new WebAssembly.RuntimeError(said.trim()); },
  };
  const text = s => { const b = new TextEncoder().encode(s + '\0'), at = c.malloc(b.length); bytes(at, b.length).set(b); return at; };
  const numbers = () => Array.from(new Float64Array(memory.buffer, c.page_numbers(), 8));
  const call = (f, ...args) => {                         // strings are copied; an error is thrown
    if (c[f](...args.map(a => typeof a === 'string' ? text(a) : a))) return numbers();
    let at = c.error_text(), n = 0;
    while (bytes(at + n, 1)[0]) n++;
    throw Error(new TextDecoder().decode(bytes(at, n)));
  };
  const give = data => { const at = c.page_room(data.byteLength); if (!at) throw Error('not enough memory');
    bytes(at, data.byteLength).set(new Uint8Array(data.buffer)); };
  const take = (Kind, n) => new Kind(memory.buffer, c.page_room(0), n).slice();
  const map = (through_d, rows, n, out) => { if (rows) give(rows); call('game_map', through_d, n); return take(Float32Array, n * out); };
  const shown = which => { const [w, h] = call('tailor_show', which); return { w, h, rgba: take(Uint8ClampedArray, 4 * w * h) }; };
  const jobs = {
    async begin({ wasm, pictures }) {
      if (pictures) files['data/t10k-images-idx3-ubyte.gz'] = pictures;
      const unknown = new Proxy(system, { get: (s, f) => s[f] || (() => 52) });
      const made = await WebAssembly.instantiate(wasm, { wasi_snapshot_preview1: unknown,
        page: { progress: fraction => postMessage({ fraction }) } });
      c = made.instance.exports, memory = c.memory;
      c._initialize();
    },
    play(o) {
      if (o.points.length) give(o.points);
      call('game_begin', o.recipe, o.world, o.points.length / 2, o.lr, o.lr_d, o.limit, o.n_critic, o.batch, o.noise, o.seed);
      const plane = o.world < 4, n = plane ? 400 : 64;
      call('game_draw', 1, n);
      return take(Float32Array, n * (plane ? 2 : 784));
    },
    step({ steps, ms }) {                                // so many steps, or as many as fit into the time
      const began = performance.now(), rows = [];
      said = '';
      do rows.push(call('game_step')); while (rows.length < steps && performance.now() - began < ms);
      return { rows, said: said.trim() };
    },
    look({ plane, field, lines, side, n }) {             // D on the points of field, G on those of lines and on n more
      const seen = {};
      if (plane) seen.field = map(1, field, side * side, 1), seen.lines = map(0, lines.z, lines.n, 2);
      call('game_draw', 0, n);
      seen.fake = map(0, null, n, plane ? 2 : 784);
      if (plane) seen.found = call('game_found', n);
      return seen;
    },
    generate: ({ z, n }) => map(0, z, n, 784),
    file({ path, data }) { files[path] = data; },
    garment({ from, size }) { const told = call('tailor_garment', from, size), picture = shown(0); call('tailor_mask', 0);
      return { ...picture, found: told[0], mask: take(Uint8Array, picture.w * picture.h) }; },
    pattern({ from, drawn }) { call('tailor_pattern', from, drawn); return shown(1); },
    run: ({ path }) => call('tailor_run', path)[0],
    print(o) { give(o.mask); call('tailor_mask', 1); call('tailor_print', o.shade, o.scale, o.colours, o.seed); return shown(2); },
  };
  let last = Promise.resolve();
  onmessage = ({ data: { id, job, args } }) => last = last.then(async () => {
    try { postMessage({ id, result: await jobs[job](args) }); }
    catch (e) { postMessage({ id, error: e.message, broken: e.constructor !== Error }); }
  });
}

// ---- asking ----
const $ = id => document.getElementById(id), $$ = q => [...document.querySelectorAll(q)];
let chinese = false, bundle;
const say = (english, zh) => chinese ? zh : english;
class Stopped extends Error {}

class Room {                                             // a worker, begun anew if the C code broke down in it
  constructor(progress) { this.progress = progress; this.waiting = new Map(); this.id = 0; this.files = {}; }
  start() {
    this.worker = new Worker(URL.createObjectURL(new Blob([`(${engine})()`], { type: 'text/javascript' })));
    this.worker.onmessage = ({ data }) => {
      if ('fraction' in data) return this.progress(data.fraction);
      const [good, bad] = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if (data.broken) this.stop();
      data.error ? bad(Error(data.error)) : good(data.result);
    };
    this.ask('begin', bundle);
    for (const path in this.files) this.ask('file', { path, data: this.files[path] });
  }
  stop() {
    this.worker?.terminate(); this.worker = null;
    for (const [, bad] of this.waiting.values()) bad(new Stopped());
    this.waiting.clear();
  }
  ask(job, args) {
    if (!this.worker) this.start();
    return new Promise((good, bad) => { this.waiting.set(++this.id, [good, bad]); this.worker.postMessage({ id: this.id, job, args }); });
  }
  async file(file) {
    const path = file.name.replace(/[^\p{L}\p{N}._ -]/gu, '_');
    this.files[path] = new Uint8Array(await file.arrayBuffer());
    await this.ask('file', { path, data: this.files[path] });
    return path;
  }
}

// ---- drawing ----
const colour = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
const rgb = name => colour(name).match(/\w\w/g).map(x => parseInt(x, 16));
function sharp(canvas) {                                 // its context in CSS pixels, at the screen's resolution
  const w = canvas.clientWidth || canvas.width, by = w * devicePixelRatio / canvas.width;
  if (Math.abs(by - 1) > .02) { const ratio = canvas.height / canvas.width;
    canvas.width = Math.round(w * devicePixelRatio); canvas.height = Math.round(canvas.width * ratio); }
  const g = canvas.getContext('2d');
  g.setTransform(canvas.width / w, 0, 0, canvas.width / w, 0, 0);
  g.clearRect(0, 0, w, w);
  return [g, w, canvas.height * w / canvas.width];
}
function picture(w, h, rgba) {
  const canvas = document.createElement('canvas');
  canvas.width = w, canvas.height = h;
  canvas.getContext('2d').putImageData(new ImageData(rgba, w, h), 0, 0);
  return canvas;
}
function grays(values, columns, n = values.length / 784) {        // pictures 28x28 in [-1,1], beside each other
  const w = columns * 28, h = Math.ceil(n / columns) * 28, rgba = new Uint8ClampedArray(4 * w * h).fill(255);
  for (let i = 0; i < n * 784; i++) {
    const k = Math.floor(i / 784), y = Math.floor(k / columns) * 28 + Math.floor(i % 784 / 28), x = k % columns * 28 + i % 28;
    rgba.fill(127.5 - 127.5 * values[i], 4 * (y * w + x), 4 * (y * w + x) + 3);
  }
  return picture(w, h, rgba);
}
// mouse, finger, or arrows and the space bar: at(x, y, first) in 0..1
function pointer(canvas, at, move = () => {}) {
  const spot = { x: .5, y: .5, keys: false };
  let down = false;
  const here = e => { const r = canvas.getBoundingClientRect(); spot.x = (e.clientX - r.left) / r.width, spot.y = (e.clientY - r.top) / r.height; spot.keys = false; };
  canvas.addEventListener('pointerdown', e => { down = true; canvas.setPointerCapture(e.pointerId); here(e); at(spot.x, spot.y, true); });
  canvas.addEventListener('pointermove', e => { here(e); if (down) at(spot.x, spot.y, false); });
  canvas.addEventListener('pointerup', () => down = false);
  canvas.addEventListener('pointercancel', () => down = false);
  canvas.addEventListener('keydown', e => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (by) spot.x = Math.min(1, Math.max(0, spot.x + by[0] / 40)), spot.y = Math.min(1, Math.max(0, spot.y + by[1] / 40)), spot.keys = true, move();
    else if (e.key === ' ') at(spot.x, spot.y, true);
    else return;
    e.preventDefault();
  });
  return spot;
}

// ---- controls: value(id), and what is shown beside each ----
const value = id => { const e = $(id), v = +e.value; return e.type === 'checkbox' ? e.checked : 'log' in e.dataset ? 10 ** v : 'power' in e.dataset ? 2 ** v : e.value === '' || isNaN(v) ? e.value : v; };
function set(id, v) {
  const e = $(id), x = 'log' in e.dataset ? Math.log10(v) : 'power' in e.dataset ? Math.log2(v) : v;
  if (e.type === 'checkbox') e.checked = !!+v; else e.value = x;
  shown(e);
}
const short = v => v && Math.abs(v) < 1e-4 ? v.toExponential(0) : String(Number.isInteger(v) ? v : +v.toPrecision(2));
function shown(e) { const o = e.closest('label')?.querySelector('output'); if (o) o.textContent = e.type === 'range' ? short(value(e.id)) : ''; }
const worded = (element, english, zh) => { element.dataset.en = english; element.dataset.zh = zh; element.textContent = say(english, zh); };

// ---- the game ----
const SIDE = 56, EDGE = 3.2, LINES = 15, SAMPLES = 400;
const game = { room: new Room(), running: false, rows: [], said: [], points: [], real: null, seen: null, z: null, walk: null };
const plane = () => +$('world').value < 4;
const square = (() => { const at = new Float32Array(2 * SIDE * SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) at[2 * i] = EDGE * (2 * (i % SIDE) / (SIDE - 1) - 1), at[2 * i + 1] = EDGE * (1 - 2 * Math.floor(i / SIDE) / (SIDE - 1));
  return at; })();
function net() {                                         // the lines of a net over the first two numbers of z
  const noise = value('noise'), along = 41, lines = noise > 1 ? 2 * LINES : 1, n = lines * along, z = new Float32Array(n * noise);
  for (let i = 0; i < n; i++) {
    const line = Math.floor(i / along), t = 2.4 * (2 * (i % along) / (along - 1) - 1), u = 2.4 * (2 * (line % LINES) / (LINES - 1) - 1);
    z[i * noise] = line < LINES ? t : u;
    if (noise > 1) z[i * noise + 1] = line < LINES ? u : t;
  }
  return { z, n, along };
}
const SCENES = {
  ring: { world: 0, recipe: 'dcgan', lr: 1e-3, lr_d: 1e-3, n_critic: 1, batch: 128, noise: 2 },
  collapse: { world: 0, recipe: 'dcgan', lr: 10 ** -2.25, lr_d: 10 ** -3.25, n_critic: 1, batch: 128, noise: 2 },
  oscillation: { world: 0, recipe: 'hinge', lr: 1e-3, lr_d: 1e-3, n_critic: 1, batch: 128, noise: 2 },
  cure: { world: 0, recipe: 'hinge', lr: 1e-3, lr_d: 1e-3, n_critic: 5, batch: 128, noise: 2 },
  garments: { world: 4, recipe: 'dcgan', lr: 1e-3, lr_d: 10 ** -3.5, n_critic: 1, batch: 32, noise: 32 },
};
const CRITICS = { wgan: { limit: .1, n_critic: 5 }, 'wgan-gp': { limit: 1, n_critic: 5 }, r3gan: { limit: 1, n_critic: 1 } };
function choose(name) { for (const key in SCENES[name]) set(key, SCENES[name][key]); }
function adjust() {                                      // what can be seen depends on world and objective
  const wgan = CRITICS[$('recipe').value], pictures = !plane();
  $('limit-label').hidden = !wgan;
  worded($('limit-name'), ...($('recipe').value === 'wgan' ? ['Limit of D\'s weights', 'D 的权重上限'] : ['Weight of the penalty', '惩罚的权重']));
  $('shown').hidden = $('found-row').hidden = pictures;
  $('latent').hidden = !pictures;
  $('clear').hidden = $('world').value !== '3';
}
function failed(where, e) {
  if (e instanceof Stopped) return;
  $(where).textContent = say('', '出错：') + e.message.replace(/^page: /, '');
}
async function reset() {
  game.running = false, game.turn = {}, game.rows = [], game.said = [], game.seen = null;
  $('game-error').textContent = '';
  try {
    if ($('world').value === '3' && !game.points.length) { game.real = new Float32Array(0); return drawGame(); }
    const o = { points: new Float32Array($('world').value === '3' ? game.points.flat() : []) };
    for (const id of ['world', 'recipe', 'lr', 'lr_d', 'limit', 'n_critic', 'batch', 'noise', 'seed']) o[id] = value(id);
    game.real = await game.room.ask('play', o);
    game.z = game.walk = null;
    await look();
  } catch (e) { failed('game-error', e); }
  drawGame();
}
async function look() {
  const flat = plane(), turn = game.turn;
  const seen = await game.room.ask('look', { plane: flat, field: flat && square, lines: flat && net(), side: SIDE, n: flat ? SAMPLES : 64 });
  if (game.turn !== turn) return;                        // another game has begun meanwhile
  game.seen = seen;
  if (!flat) await generate();
}
async function go(steps, ms) {
  const turn = game.turn, got = await game.room.ask('step', { steps, ms });
  if (game.turn !== turn) return;
  game.rows.push(...got.rows);
  if (got.said) game.said.push(got.said.replace(/^: |^page: /, '').split('\n').pop());
  await look();
  drawGame();
}
async function play() {
  game.running = !game.running;
  drawGame();
  const turn = game.turn = {};
  try { while (game.running && game.turn === turn) { await go(1e9, plane() ? 24 : 120); await new Promise(requestAnimationFrame); } }
  catch (e) { failed('game-error', e); game.running = false; drawGame(); }
}
// how sure D is that a point is real, 0..1, from its logit; a critic's scale is free, so it is taken from the field
function opinion(field) {
  const recipe = $('recipe').value, n = field.length, mean = field.reduce((a, x) => a + x, 0) / n;
  const sd = Math.sqrt(field.reduce((a, x) => a + (x - mean) ** 2, 0) / n) + 1e-9;
  const [middle, steep] = recipe === 'lsgan' ? [.5, 4] : recipe === 'dcgan' ? [0, 1] : recipe === 'hinge' ? [0, 2] : [mean, 2 / sd];
  return field.map(x => 1 / (1 + Math.exp(steep * (middle - x))));
}
function drawPlane() {
  const [g, w] = sharp($('plane')), seen = game.seen, mark = w > 500 ? 3 : 2, x = v => (v / EDGE + 1) * w / 2, y = v => (1 - v / EDGE) * w / 2;
  if (seen?.field && value('show-field')) {
    const p = opinion(seen.field), low = rgb('fake-field'), middle = rgb('sheet'), high = rgb('real-field'), rgba = new Uint8ClampedArray(4 * p.length).fill(255);
    p.forEach((v, i) => { const t = Math.abs(2 * v - 1) ** .6, to = v < .5 ? low : high; for (let k = 0; k < 3; k++) rgba[4 * i + k] = middle[k] + t * (to[k] - middle[k]); });
    g.imageSmoothingQuality = 'high';
    g.drawImage(picture(SIDE, SIDE, rgba), 0, 0, w, w);
    g.strokeStyle = colour('soft'), g.lineWidth = 1, g.setLineDash([4, 4]), g.beginPath();
    for (let i = 0; i < SIDE * (SIDE - 1); i++) {        // marching squares at one half
      if (i % SIDE === SIDE - 1) continue;
      const corner = [[i, 0, 0], [i + 1, 1, 0], [i + SIDE + 1, 1, 1], [i + SIDE, 0, 1]], cut = [];
      corner.forEach(([a, ax, ay], k) => { const [b, bx, by] = corner[(k + 1) % 4], d = p[b] - p[a];
        if ((p[a] < .5) !== (p[b] < .5)) { const t = (.5 - p[a]) / d; cut.push([i % SIDE + ax + t * (bx - ax), Math.floor(i / SIDE) + ay + t * (by - ay)]); } });
      for (let k = 0; k + 1 < cut.length; k += 2) for (const [m, q] of [['moveTo', cut[k]], ['lineTo', cut[k + 1]]]) g[m](...q.map(v => (v + .5) * w / SIDE));
    }
    g.stroke(), g.setLineDash([]);
  }
  if (seen?.lines && value('show-grid')) {
    const along = 41;
    g.strokeStyle = colour('fake'), g.globalAlpha = .4, g.lineWidth = 1, g.beginPath();
    for (let i = 0; i < seen.lines.length / 2; i++) g[i % along ? 'lineTo' : 'moveTo'](x(seen.lines[2 * i]), y(seen.lines[2 * i + 1]));
    g.stroke(), g.globalAlpha = 1;
  }
  const dots = $('world').value === '3' ? game.points.flat() : game.real || [];
  if (value('show-real')) { g.fillStyle = colour('real'), g.globalAlpha = .75;
    for (let i = 0; i < dots.length; i += 2) g.beginPath(), g.arc(x(dots[i]), y(dots[i + 1]), .8 * mark, 0, 7), g.fill(); }
  g.globalAlpha = 1;
  if (seen?.fake && value('show-fake')) { g.strokeStyle = colour('fake'), g.lineWidth = 1.4, g.beginPath();
    for (let i = 0; i < seen.fake.length; i += 2) { const a = x(seen.fake[i]), b = y(seen.fake[i + 1]); g.moveTo(a - mark, b - mark), g.lineTo(a + mark, b + mark), g.moveTo(a - mark, b + mark), g.lineTo(a + mark, b - mark); }
    g.stroke(); }
  if (game.spot.keys) g.strokeStyle = colour('ink'), g.strokeRect(game.spot.x * w - 5, game.spot.y * w - 5, 10, 10);
}
function drawLosses() {
  const [g, w, h] = sharp($('losses')), rows = game.rows.slice(-20000), each = Math.max(1, Math.ceil(rows.length / w));
  let low = 0, high = 1;
  const mean = k => { const out = []; for (let i = 0; i < rows.length; i += each) { const part = rows.slice(i, i + each); out.push(part.reduce((a, r) => a + r[k], 0) / part.length); } return out; };
  const lines = [mean(1), mean(2)];
  for (const v of lines.flat()) low = Math.min(low, v), high = Math.max(high, v);
  const y = v => h - 6 - (v - low) / (high - low) * (h - 20);
  g.font = '11px system-ui', g.fillStyle = g.strokeStyle = colour('soft');
  g.fillText(short(high), 4, 12), g.fillText(short(low), 4, h - 8);
  g.globalAlpha = .3, g.beginPath(), g.moveTo(0, y(0)), g.lineTo(w, y(0)), g.stroke(), g.globalAlpha = 1;
  lines.forEach((line, k) => { g.strokeStyle = colour(k ? 'fake' : 'real'), g.lineWidth = 1.6, g.setLineDash(k ? [5, 3] : []), g.beginPath();
    line.forEach((v, i) => g[i ? 'lineTo' : 'moveTo'](30 + i / Math.max(line.length - 1, 1) * (w - 34), y(v))); g.stroke(); });
}
const TROUBLE = [[/wins/, 'D 全赢了：它几乎总是对的，G 学不到什么。降低 D 的学习率。'], [/collapse/, '样本坍缩到一起：它们的差别远小于数据。让 D 每次多学几步，或用 wgan-gp。'],
  [/stuck/, 'D 的损失停在 0.000：G 没什么可学的了。降低 D 的学习率，或用 wgan-gp。'], [/diverges/, '训练发散了：降低学习率，从头再来。']];
function diagnosis() {
  const last = game.said[game.said.length - 1], found = game.seen?.found, step = game.rows.length;
  if ($('world').value === '3' && !game.points.length) return say('Draw points into the square, then run.', '先在方框里点一些点，再开始。');
  if (!step) return say('G has learned nothing yet: it maps its noise as chance has it.', 'G 还什么都没学：噪声被随机地映射。');
  if (found) {
    const [n, all, on, jumps] = found;
    if (jumps) return say('It oscillates: G jumps from place to place, and D runs after it.', '它在振荡：G 从一处跳到另一处，D 在后面追。');
    if (step >= 100 && n <= .45 * all) return say(`Mode collapse: G makes ${n} of ${all} places only.`, `模式坍缩：${all} 处中 G 只画出 ${n} 处。`);
    if (n < all) return say(`G has found ${n} of ${all} places.`, `G 找到了 ${all} 处中的 ${n} 处。`);
    if (!last) return on > .8 ? say('G makes all of the data: every place is found, and few points lie between.', 'G 学会了全部数据：处处都找到，中间的点很少。')
      : say('Every place is found; many points still lie on the way between.', '处处都找到了，但还有许多点落在中间。');
  }
  if (last) return chinese ? (TROUBLE.find(([r]) => r.test(last)) || [0, last])[1] : last.replace(/--/g, '');
  return say('Nothing unusual: D and G keep each other busy.', '一切正常：D 和 G 势均力敌。');
}
function drawGame() {
  const last = game.rows[game.rows.length - 1], put = (id, v) => $(id).textContent = v;
  if ($('game').hidden) return;
  if (plane()) drawPlane();
  else { const [g, w] = sharp($('plane')); g.imageSmoothingEnabled = false; if (game.seen?.fake?.length) g.drawImage(grays(game.seen.fake, 8, 64), 8, 8, w - 16, w - 16); }
  drawLosses();
  put('n-step', last ? last[0] : 0);
  ['n-d', 'n-g', 'n-dx', 'n-dg'].forEach((id, k) => put(id, last ? last[k + 1].toFixed(4 - (k > 1) * 2) : '–'));
  put('n-found', game.seen?.found ? `${game.seen.found[0]}/${game.seen.found[1]}` : '–');
  worded($('run'), ...(game.running ? ['Pause', '暂停'] : ['Run', '开始']));
  $('seen').textContent = diagnosis();
  $('plane').setAttribute('aria-label', plane() ? say('real and generated points', '真实的点与生成的点') : say('64 generated pictures', '64 张生成的图片'));
  $('plane').dataset.steps = last ? last[0] : 0;
}
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const fresh = n => Float32Array.from({ length: n }, normal);
async function generate() {                              // z by its sliders, and the walk
  const noise = value('noise'), steps = 11;
  game.z ||= fresh(noise), game.walk ||= [fresh(noise), fresh(noise)];
  if (!$('z').children.length) for (let i = 0; i < 5; i++) { const r = document.createElement('input');
    Object.assign(r, { type: 'range', min: -3, max: 3, step: .05, ariaLabel: `z ${i + 1}` });
    r.oninput = () => { game.z[i] = +r.value; generate().catch(e => failed('game-error', e)); }; $('z').append(r); }
  [...$('z').children].forEach((r, i) => { r.hidden = i >= noise; r.value = game.z[i]; });
  const rows = new Float32Array((steps + 2) * noise), between = (t, at) => game.walk[0].forEach((a, k) => rows[at * noise + k] = a + t * (game.walk[1][k] - a));
  for (let i = 0; i < steps; i++) between(i / (steps - 1), i);
  between(+$('walk').value, steps), rows.set(game.z, (steps + 1) * noise);
  const made = await game.room.ask('generate', { z: rows, n: steps + 2 });
  const way = $('way').getContext('2d'), one = $('one').getContext('2d'), at = k => grays(made.subarray(784 * k, 784 * k + 784), 1);
  $('one').width = $('one').height = 112, one.imageSmoothingEnabled = false;
  one.drawImage(at($('walk') === document.activeElement ? steps : steps + 1), 0, 0, 112, 112);
  way.drawImage(grays(made.subarray(0, 784 * steps), steps), 0, 0);
}

// ---- the tailor ----
const tailor = { room: new Room(f => $('progress').value = f), garment: null, source: 'synthetic:0', cloth: null, drawn: 0, path: '', run: '', result: null, busy: false };
const GARMENTS = ['synthetic:0', 'synthetic:2', 'synthetic:3', 'synthetic:4', 'synthetic:8', 'fashion-mnist:1', 'fashion-mnist:4', 'fashion-mnist:13'];
async function tailored(f) {
  $('tailor-error').textContent = '';
  try { if (tailor.garment && !tailor.room.worker) await again(); await f(); }
  catch (e) { failed('tailor-error', e); }
  drawTailor();
}
async function wear(source, size = value('size')) {
  tailor.garment = await tailor.room.ask('garment', { from: source, size }), tailor.source = source, tailor.result = null;
  tailor.garment.picture = picture(tailor.garment.w, tailor.garment.h, tailor.garment.rgba);
}
async function spread(path, drawn) {
  const p = await tailor.room.ask('pattern', { from: path, drawn });
  Object.assign(tailor, { cloth: picture(p.w, p.h, p.rgba), path, drawn, result: null });
}
const useRun = async path => { await tailor.room.ask('run', { path }); Object.assign(tailor, { run: path, result: null }); };
async function again() {                                 // a new worker is told what the old one knew
  const { mask, found } = tailor.garment;
  await spread(tailor.path, tailor.drawn);
  await useRun(tailor.run);
  await wear(tailor.source);
  Object.assign(tailor.garment, { mask, found });
}
function drawTailor() {
  const { garment, result, cloth } = tailor, spotted = document.querySelector('input[name=brush]:checked').value !== '';
  if ($('tailor').hidden || !garment) return;
  const canvas = $('cloth'), { w, h } = garment, share = result ? +$('between').value : 0;
  if (canvas.width !== w || canvas.height !== h) canvas.width = w, canvas.height = h;
  const g = canvas.getContext('2d');
  g.drawImage(garment.picture, 0, 0);
  if (result) g.drawImage(result, 0, 0, share * w, h, 0, 0, share * w, h);
  if (result && share > 0 && share < 1) g.fillStyle = colour('accent'), g.fillRect(share * w - 1, 0, 2, h);
  if (spotted || !result) {                              // the mask: slanted lines, and its edge
    const over = g.getImageData(0, 0, w, h), m = garment.mask, gap = Math.round(w / 24), wide = Math.max(1, w / 256);
    for (let i = 0; i < w * h; i++) {
      const x = i % w, y = Math.floor(i / w), edge = m[i] > 127 && (x < wide || y < wide || !(m[i - wide] > 127) || !(m[i + wide] > 127) || !(m[i - w * wide] > 127) || !(m[i + w * wide] > 127));
      if (edge || (m[i] > 127 && (x + y) % gap < wide)) for (let k = 0, ink = over.data[4 * i + 1] < 128 ? 235 : 30; k < 3; k++) over.data[4 * i + k] = (over.data[4 * i + k] + ink) / 2;
    }
    g.putImageData(over, 0, 0);
    if (spotted && tailor.spot.keys) g.strokeStyle = colour('ink'), g.beginPath(), g.arc(tailor.spot.x * w, tailor.spot.y * h, value('radius') * w / 512, 0, 7), g.stroke();
  }
  if (cloth) { const s = $('sample'); s.width = s.height = 256; s.getContext('2d').drawImage(cloth, 0, 0, 256, 256); }
  $('with-run').hidden = !tailor.run;
  $('with-run').firstElementChild.textContent = tailor.run;
  $('save').disabled = !result, $('between').disabled = !result;
  for (const b of $$('.tiles button')) b.setAttribute('aria-checked', b.dataset.source === tailor.source || b.dataset.source === 'drawn:' + tailor.drawn && !tailor.path);
  const where = { 1: ['What is hatched stands out from the background.', '画斜线处从背景中突出。'], 2: ['What is hatched was not transparent.', '画斜线处不透明。'],
    3: ['No background of one colour was found: take the eraser to say where the garment is not.', '没找到单色背景：用橡皮擦去不是衣服的地方。'], 4: ['What is hatched is as you drew it.', '画斜线处由你画定。'] }[garment.found];
  if (!tailor.busy) $('told').textContent = result ? tailor.note : `${w} × ${h}. ` + say(...where);
}
async function print() {
  const began = performance.now(), { garment } = tailor, busy = on => { tailor.busy = on; $('print').disabled = on; $('stop').hidden = $('progress').hidden = !on; };
  $('told').textContent = say('Printing …', '正在印花……'), $('progress').value = 0, busy(true);
  try {
    const p = await tailor.room.ask('print', { mask: garment.mask, shade: value('shade'), scale: value('scale'), colours: value('colours'), seed: value('print-seed') });
    tailor.result = picture(p.w, p.h, p.rgba);
    $('between').value = 1;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    tailor.note = say(`${p.w} × ${p.h} pixels printed in ${seconds} s.`, `${p.w} × ${p.h} 像素，用时 ${seconds} 秒。`);
  } finally { busy(false); }
}
function brush(x, y) {
  const on = document.querySelector('input[name=brush]:checked').value, { garment } = tailor;
  if (on === '' || !garment || tailor.busy) return;
  const { w, h, mask } = garment, r = value('radius') * w / 512;
  for (let j = Math.max(0, Math.floor(y * h - r)); j < Math.min(h, y * h + r); j++) for (let i = Math.max(0, Math.floor(x * w - r)); i < Math.min(w, x * w + r); i++)
    if (Math.hypot(i + .5 - x * w, j + .5 - y * h) <= r) mask[j * w + i] = 255 * +on;
  garment.found = 4, tailor.result = null;
  drawTailor();
}
const isRun = file => /\.safetensors$/i.test(file.name);
async function receive(file, pattern) {
  const room = tailor.room;
  const path = await room.file(file);
  if (isRun(file)) return useRun(path);
  const use = pattern ? from => spread(from, -1) : from => wear(from);
  try { await use(path); }
  catch (e) {                                            // other kinds, such as WebP, by the browser: as a PNG
    if (!/not a known picture/.test(e.message)) throw e;
    const bitmap = await createImageBitmap(file).catch(() => { throw e; });
    if (bitmap.width * bitmap.height > 5e7) throw Error(`${path}: ${bitmap.width} × ${bitmap.height}: ${say('at most 50 megapixels', '最多五千万像素')}`);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    await use(await room.file(new File([await canvas.convertToBlob()], path + '.png')));
  }
}
async function tiles() {
  const tile = (where, source, canvas, use) => { const b = document.createElement('button');
    Object.assign(b, { type: 'button', ariaLabel: source }), b.dataset.source = source, b.setAttribute('role', 'radio');
    b.append(canvas), b.onclick = () => tailored(use), $(where).append(b); };
  const names = ['stripes', 'tartan', 'dots', 'chevron', 'daisies', 'ikat'];
  for (let k = 0; k < names.length; k++) { await spread('', k); tile('patterns', 'drawn:' + k, tailor.cloth, async () => { await spread('', k); await useRun(''); }); $('patterns').lastChild.ariaLabel = names[k]; }
  for (const source of GARMENTS) if (bundle.pictures || source[0] === 's') { await wear(source, 96); tile('garments', source, tailor.garment.picture, () => wear(source)); }
  await spread('', 3), await wear('synthetic:3');
}

// ---- the page ----
function enter(room) {
  for (const name of ['game', 'tailor']) { $(name).hidden = name !== room; $('tab-' + name).setAttribute('aria-selected', name === room); $('tab-' + name).tabIndex = name === room ? 0 : -1; }
  if (room === 'tailor' && !tailor.begun) tailor.begun = true, tailored(tiles);
  drawGame(), drawTailor();
}
function speak(zh) {
  chinese = zh;
  document.documentElement.lang = zh ? 'zh-CN' : 'en';
  for (const e of $$('[data-zh]')) e.dataset.en ??= e.textContent, e.textContent = zh ? e.dataset.zh : e.dataset.en;
  $('language').textContent = zh ? 'English' : '中文', $('language').lang = zh ? 'en' : 'zh-CN';
  drawGame(), drawTailor();
}
function follow() {                                      // #game?recipe=hinge&lr=0.001 or #tailor
  const [room, query] = decodeURIComponent(location.hash.slice(1)).split('?'), settings = new URLSearchParams(query);
  if (SCENES[settings.get('scene')]) choose(settings.get('scene'));
  for (const [id, v] of settings) if ($(id)?.closest('.controls')) set(id, v);
  if (settings.size && !settings.has('scene')) $('scene').value = '';
  adjust();
  enter(room === 'tailor' ? 'tailor' : 'game');
}
async function begin() {
  const stored = id => Uint8Array.from(atob($(id).textContent), x => x.charCodeAt(0));
  const packed = new Blob([stored('wasm')]).stream().pipeThrough(new DecompressionStream('gzip'));
  bundle = { wasm: await new Response(packed).arrayBuffer(), pictures: $('pictures').textContent ? stored('pictures') : null };
  if (!bundle.pictures) SCENES.garments.world = 5, $$('#world option').find(o => o.value === '4').remove();
  game.spot = pointer($('plane'), (x, y) => { if ($('world').value !== '3' || game.points.length >= 512) return; game.points.push([EDGE * (2 * x - 1), EDGE * (1 - 2 * y)]); reset(); }, () => drawGame());
  tailor.spot = pointer($('cloth'), brush, () => drawTailor());
  for (const name of ['game', 'tailor']) { $('tab-' + name).onclick = () => enter(name);
    $('tab-' + name).onkeydown = e => { if (/Arrow(Left|Right)/.test(e.key)) { const other = name === 'game' ? 'tailor' : 'game'; enter(other); $('tab-' + other).focus(); } }; }
  for (const e of $$('.controls input, .controls select, #radius')) { e.addEventListener('input', () => shown(e)); shown(e); }
  for (const e of $$('#game .controls :is(select, input:not([type=checkbox]))')) e.addEventListener('change', () => {
    if (e.id === 'scene') choose(e.value); else $('scene').value = '';
    if (e.id === 'recipe') for (const [key, v] of Object.entries(CRITICS[e.value] || { n_critic: 1 })) set(key, v);
    if (e.id === 'world') set('noise', plane() ? 2 : 32), set('batch', plane() ? 128 : 32), set('lr_d', plane() ? 1e-3 : 10 ** -3.5);
    adjust(), reset();
  });
  for (const e of $$('#shown input')) e.addEventListener('change', drawGame);
  $('run').onclick = play, $('reset').onclick = reset;
  $('step').onclick = () => { game.running = false; go(1, 1e9).catch(e => failed('game-error', e)); };
  $('clear').onclick = () => { game.points = []; reset(); };
  $('walk').oninput = () => generate().catch(e => failed('game-error', e));
  $('ends').onclick = () => { game.walk = null; generate().catch(e => failed('game-error', e)); };
  $('size').addEventListener('change', () => tailored(() => wear(tailor.source)));
  $('between').oninput = drawTailor;
  for (const e of $$('#brushes input')) e.addEventListener('change', drawTailor);
  $('print').onclick = () => tailored(print);
  $('stop').onclick = () => tailor.room.stop();
  $('no-run').onclick = () => tailored(() => useRun(''));
  $('save').onclick = () => { const a = document.createElement('a'); a.href = tailor.result.toDataURL('image/png'), a.download = 'print.png', a.click(); };
  for (const [id, pattern] of [['garment', false], ['pattern', true]]) {
    const zone = $('drop-' + id), input = $(id + '-file');
    input.onchange = () => { const file = input.files[0]; input.value = ''; if (file) tailored(() => receive(file, pattern)); };
    zone.addEventListener('dragover', e => { e.preventDefault(); zone.classList.add('over'); });
    zone.addEventListener('dragleave', () => zone.classList.remove('over'));
    zone.addEventListener('drop', e => { e.preventDefault(); zone.classList.remove('over'); if (e.dataTransfer.files[0]) tailored(() => receive(e.dataTransfer.files[0], pattern)); });
  }
  for (const kind of ['dragover', 'drop']) addEventListener(kind, e => e.preventDefault());
  addEventListener('resize', () => { drawGame(); drawTailor(); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { drawGame(); drawTailor(); });
  addEventListener('hashchange', () => { follow(); reset(); });
  $('language').onclick = () => speak(!chinese);
  choose('ring'), $('scene').value = 'ring', follow();
  speak(/^zh/.test(navigator.language));
  await reset();
}
