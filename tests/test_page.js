// test_page.js: what a user would do, behind the page; LOSSES and FILES are from test_page.sh
(async () => {
  const report = (what, good) => console.log(`${good ? 'OK' : 'FAIL'} ${what}`);
  const until = async (f, what) => { for (let i = 0; i < 1200; i++) { if (f()) return; await new Promise(r => setTimeout(r, 100)); } throw Error('waited for ' + what); };
  const bytes = text => Uint8Array.from(atob(text), x => x.charCodeAt(0));
  const drop = (zone, name) => { const dataTransfer = new DataTransfer(); dataTransfer.items.add(new File([bytes(FILES[name])], name));
    $(zone).dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true })); };
  const text = id => $(id).textContent, change = (id, v) => { set(id, v); $(id).dispatchEvent(new Event('change')); };
  const narrow = room => report(`${room}: no wider than the window, ${document.documentElement.scrollWidth} of ${innerWidth}`, document.documentElement.scrollWidth <= innerWidth);
  addEventListener('error', e => report('error: ' + e.message, false));
  addEventListener('unhandledrejection', e => report('error: ' + e.reason, false));
  try {
    await until(() => game.seen, 'the first look');
    narrow('game');
    let worst = 0;
    for (let i = 0; i < LOSSES.length; i++) {            // one step, as it stands on the page
      $('step').click();
      await until(() => text('n-step') === String(i + 1), 'step ' + (i + 1));
      [text('n-d'), text('n-g')].forEach((v, k) => { worst = Math.max(worst, Math.abs(v - LOSSES[i][k])); });
    }
    report(`50 steps of the ring: off by ${worst}, the page shows 4 digits`, worst <= 1e-4);
    for (const recipe of ['lsgan', 'hinge', 'wgan', 'wgan-gp', 'r3gan']) for (const world of [0, 1, 2, 4, 5]) {
      if (world > 2 && recipe !== 'hinge') continue;
      if (![...$('world').options].some(o => +o.value === world)) continue;
      change('world', world), change('recipe', recipe);
      await until(() => game.seen && !game.rows.length, recipe);
      $('step').click();
      await until(() => text('n-step') === '1' || text('game-error'), recipe);
      report(`a step of ${recipe} in world ${world} ${text('game-error')}`, !text('game-error') && isFinite(text('n-d')));
    }
    change('world', 3);
    await until(() => /Draw points/.test(text('seen')), 'an empty plane');
    $('plane').focus(); $('plane').dispatchEvent(new KeyboardEvent('keydown', { key: ' ' }));
    await until(() => game.seen, 'a point');
    $('step').click();
    await until(() => text('n-step') === '1', 'a step on one point');
    report('a point drawn by the keyboard is learned', text('n-found').endsWith('/1'));
    $('language').click();
    report('Chinese', text('tab-tailor') === '裁缝铺' && document.documentElement.lang === 'zh-CN');
    $('language').click();
    report('English again', text('tab-tailor') === 'The tailor');

    $('tab-tailor').click();
    await until(() => tailor.source === 'synthetic:3' && $('garments').children.length > 4 && tailor.garment.w === 256, 'the tailor');
    narrow('tailor');
    for (const [zone, name, line] of [['drop-garment', 'text.png', /^text.png: not a known picture/], ['drop-pattern', 'huge.png', /^huge.png: the header says 10000 x 10000/],
      ['drop-pattern', 'classifier.safetensors', /^classifier.safetensors: made with --recipe classifier/]]) {
      drop(zone, name);
      await until(() => line.test(text('tailor-error')), 'a line about ' + name + ', there is: ' + text('tailor-error'));
      report(`a line about ${name}`, true);
    }
    const print = async () => { $('print').click(); await until(() => !$('print').disabled, 'a print'); };
    drop('drop-pattern', 'cloth.jpg');
    await until(() => tailor.path === 'cloth.jpg' && !text('tailor-error'), 'the cloth');
    change('size', 128);
    await until(() => tailor.garment.w === 128, 'the small garment');
    await print();
    const native = new Image();
    native.src = 'data:image/png;base64,' + FILES['native.png'];
    await native.decode();
    const pixels = (picture, g = new OffscreenCanvas(128, 128).getContext('2d')) => (g.drawImage(picture, 0, 0), g.getImageData(0, 0, 128, 128).data);
    const off = (a, b) => a.reduce((sum, v, i) => sum + Math.abs(v - b[i]), 0) / (128 * 128 * 3);
    const same = off(pixels($('cloth')), pixels(native)), changed = off(pixels(tailor.garment.picture), pixels(native));
    report(`the print is that of ./transfer: ${same.toFixed(3)} of 255 from it, the garment ${changed.toFixed(1)}`, same < .05 * changed);
    $('print').click();
    await until(() => $('progress').value > 0, 'progress');
    $('stop').click();
    await until(() => !$('print').disabled, 'the stop');
    drop('drop-pattern', 'style.safetensors');
    await until(() => text('with-run').includes('style.safetensors'), 'the run ' + text('tailor-error'));
    await print();
    report(`a run prints: ${text('told')}${text('tailor-error')}`, /printed in/.test(text('told')));
    set('radius', 60), document.querySelector('input[name=brush][value="0"]').click();
    $('cloth').dispatchEvent(new KeyboardEvent('keydown', { key: ' ' }));
    report('the eraser, by the keyboard', tailor.garment.mask[64 * 128 + 64] === 0 && !tailor.result);
  } catch (e) { report(e.message, false); }
  console.log('CHECKED');
})();
