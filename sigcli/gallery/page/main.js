// The page: heading, panels, and the news of a run that is not at its end.

const list = new List(el('div', { id: 'feed', role: 'feed', 'aria-label': 'Images' }), row);
let panel = 'images';
let scrolls = false; // the tiles of a row are wider than the window

const PANELS = [
  ['images', () => 'Images', () => true, null],
  ['metrics', () => 'Metrics', hasMetrics, metricsPanel],
  ['failed', () => `Failed (${failures().length})`, () => failures().length > 0, failedPanel],
  ['about', () => (several() ? 'Runs' : 'Run'), () => true, aboutPanel],
];

function heading() {
  const names = page.runs.map((run) => run.name);
  const models = [...new Set(page.runs.map((run) => run.model).filter(Boolean))];
  const methods = [...new Set(page.columns.map((column) => column.method))];
  const facts = [
    models.join(', '), methods.length > 4 ? `${methods.length} methods` : methods.join(', '),
    many(new Set(page.cards.map((card) => card.image)).size, 'image'), clock(page.made),
  ];
  return el('div', { class: 'title' },
    el('h1', {}, names.map((name, at) => [at > 0 && el('span', { class: 'against' }, ' vs '), el('bdi', {}, name)])),
    el('p', {}, facts.filter(Boolean).join(' · ')));
}

function tabs() {
  const there = PANELS.filter(([, , has]) => has());
  const move = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const at = there.findIndex(([name]) => name === panel);
    show(there[(at + by + there.length) % there.length][0]);
    one(`#tab-${panel}`).focus();
  };
  return el('div', { role: 'tablist', 'aria-label': 'Parts of the page', on: { keydown: move } }, there.map(([name, words]) =>
    el('button', {
      type: 'button', role: 'tab', id: `tab-${name}`, 'aria-controls': name, 'aria-selected': String(name === panel),
      tabindex: name === panel ? '0' : '-1', on: { click: () => { show(name); one(`#tab-${name}`).focus(); } },
    }, words())));
}

function news() {
  if (!page.going) return null;
  const { done: ready, planned, stage, ended } = page.going;
  const old = Date.now() - Date.parse(page.made) > 600000;
  const share = planned ? ready / planned : 0;
  return el('div', { class: 'news' },
    el('p', {}, el('strong', {}, ended ? 'Stopped' : old ? 'Not at its end' : stage || 'Running'),
      `${ready.toLocaleString('en')} of ${many(planned, 'map')} ${planned === 1 ? 'is' : 'are'} done; written ${ago(Date.parse(page.made))}. `,
      ended ? 'Its command with --resume continues it.'
        : old ? 'If the run has stopped, its command with --resume continues it.' : 'The page follows by itself.'),
    el('progress', { max: '1', value: String(share), 'aria-label': 'Progress of the run' }));
}

function show(name) {
  panel = name;
  one('#head').replaceChildren(...[heading(), tabs(), news()].filter(Boolean));
  for (const [id, , , draw] of PANELS) {
    const part = one(`#${id}`);
    part.hidden = id !== name;
    if (draw) part.replaceChildren(...(id === name ? [draw()] : []));
  }
  if (name === 'images') { measure(); list.redraw(); }
}

// The size of tiles follows the width of the window and the number of columns; the height of a row that of its tiles.
function measure() {
  const root = document.documentElement;
  const narrow = innerWidth <= 720;
  const count = shownColumns().length + (hasPictures() && hasPhotographs() ? 1 : 0);
  const wide = one('#main').clientWidth - (narrow ? 32 : 64) - (narrow ? 0 : 292);
  const side = Math.floor(Math.max(narrow ? 136 : 112, Math.min(208, (wide - 12 * (count - 1)) / count)));
  scrolls = side * count + 12 * (count - 1) > wide;
  const pictures = hasPictures();
  root.style.setProperty('--side', `${side}px`);
  root.classList.toggle('nopics', !pictures);
  const lines = (side < 178 || several() ? 2 : 1) + (several() ? 1 : 0); // under a tile: the run, and numbers
  const tiles = (pictures ? side : 0) + 27 + 17 * lines;
  const told = offers.bars;
  const text = (narrow ? (told ? 126 : 52) : told ? 162 : 68) + (offers.badges ? 28 : 0) + (told && several() ? 18 : 0);
  list.height = (narrow ? text + tiles : Math.max(text, tiles)) + 28;
  root.style.setProperty('--lines', String(lines));
  root.style.setProperty('--row', `${list.height}px`);
}

function build() {
  prepare();
  if (several() && sortKeys().includes('differs')) state.sort = 'differs';
  one('#main').replaceChildren(...PANELS.map(([id]) => el('section', { id, role: 'tabpanel', 'aria-labelledby': `tab-${id}`, hidden: id !== panel })));
  const lines = [['measure', 'hint measure'], ['lost', 'plain'], ['none', 'plain']].map(([id, kind]) => el('p', { id, class: kind, hidden: true }));
  one('#images').append(el('h2', { class: 'unseen' }, 'Images'), drawBar(), ...lines, list.holder);
  show(panel);
  apply();
}

// While a run goes on, its data are read again from the script beside the page.
function follow() {
  if (!page.going || page.inside || document.hidden) return;
  const source = one('script[src]').getAttribute('src').replace(/\?.*/, '');
  const script = el('script', { src: `${source}?${Date.now()}`, on: { load: () => { script.remove(); renew(); }, error: () => script.remove() } });
  document.head.append(script);
}

function renew() {
  if (window.SIG_PAGE.made === page.made) return;
  const [focused, here, large] = [onRow(), list.items[list.active], detail.dialog.open ? detail.card() : null];
  page = window.SIG_PAGE;
  prepare();
  const found = chosen();
  const again = (card) => found.findIndex((other) => card && other.image === card.image && other.rank === card.rank);
  [list.items, list.active] = [found, Math.max(0, again(here))];
  show(panel);
  redrawBar();
  tell(found);
  if (large) renewLarge(again(large));
  else if (focused && panel === 'images') list.go(list.active);
  if (!one('#lost').hidden) openAddressed();
}

// The large view shows what it showed, wherever the image stands now.
function renewLarge(at) {
  if (at < 0) { detail.close(); return; }
  detail.at = at;
  detail.redraw();
}

function start() {
  if (!page || !Array.isArray(page.cards)) {
    one('#main').replaceChildren(el('p', { class: 'plain' }, 'The data of this page are missing: gallery/data.js belongs beside it. "sig report RUN" writes both.'));
    return;
  }
  document.title = `${page.runs.map((run) => run.name).join(' vs ')} · sig`;
  document.body.append(makeDetail(), makeHelp());
  setBlendVars();
  build();
  listenToKeys();
  one('.skip').addEventListener('click', (event) => { event.preventDefault(); one('#main').focus(); }); // #main may be an image
  addEventListener('hashchange', openAddressed);
  openAddressed();
  setInterval(follow, 12000);
  let width = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth === width) return;
    width = innerWidth;
    measure();
    list.redraw();
  });
}

function setBlendVars() {
  for (const [key, value] of Object.entries(opacities())) document.documentElement.style.setProperty(key, value);
}

start();
