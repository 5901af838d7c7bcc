// A tile: photograph, overlay and map on top of each other, and how much of each is seen.

const thumbnail = (run, name) => (page.inside ? page.inside[run.thumbnails + name] || '' : url(run.thumbnails, `${name}.jpg`));

// Which of the three pictures the slider shows now: only these are loaded.
function needed() {
  return { photo: state.blend < 0.5, over: state.blend > 0 && state.blend < 1, map: state.blend > 0.5 };
}

const needs = () => Object.values(needed()).join();

// How opaque the overlay over the photograph and the map over both are.
function opacities() {
  return { '--overlay': String(Math.min(1, 2 * state.blend)), '--map': String(Math.max(0, 2 * state.blend - 1)) };
}

function picture(kind, source, words) {
  const given = { class: kind, src: source, alt: words || '', loading: 'lazy', decoding: 'async', draggable: 'false' };
  return el('img', words ? given : { ...given, 'aria-hidden': 'true' });
}

// What a tile of a cell shows, in words.
function described(card, at) {
  const cell = card.cells[at];
  const map = `${columnName(at)} map of ${card.image}${nameOf(cell) ? ` for ${nameOf(cell)}` : ''}`;
  return state.blend < 0.25 ? `What the model saw of ${card.image}` : state.blend > 0.75 ? map : `${map}, over the photograph`;
}

// The pictures of a cell, for the large view the large ones where there are any; a page without pictures has none.
function layers(card, at, large) {
  const cell = card.cells[at];
  const run = page.runs[page.columns[at].run];
  const here = card.runs[page.columns[at].run] || {};
  if (!cell.map) return bare(card, cell, run, here, at);
  const wanted = needed();
  const found = [];
  const pick = (small, wide) => (large && wide && (!page.inside || page.inside[run.thumbnails + wide]) ? wide : small);
  if (here.photo && (wanted.photo || !cell.over)) found.push(['photo', pick(here.photo, here.lphoto)]);
  if (cell.over && wanted.over) found.push(['over', pick(cell.over, cell.lover)]);
  if (wanted.map || !cell.over) found.push(['map', pick(cell.map, cell.lmap)]);
  return found.map(([kind, name], number) =>
    picture(`${kind}${kind === 'map' && !cell.over ? ' only' : ''}`, thumbnail(run, name), number === found.length - 1 && described(card, at)));
}

// Where there is no small picture: the PNG of the run, such as the bars of an array.
function bare(card, cell, run, here, at) {
  if (!cell.png || page.inside) return [];
  return [picture('whole', url(run.files, here.folder, `${cell.file}.png`), `${columnName(at)} of ${card.image}`)];
}

function tile(card, at, large = false) {
  const cell = card.cells[at];
  if (!cell) return el('span', { class: 'tile none' }, el('span', {}, 'not in this run'));
  if (cell.failed) return el('span', { class: 'tile failed' }, el('span', {}, 'failed'));
  const inner = layers(card, at, large);
  return el('span', { class: inner.length ? 'tile' : 'tile none' }, inner.length ? inner : el('span', {}, 'no picture'));
}

function photograph(card) {
  const at = card.runs.findIndex((run) => run && run.photo);
  if (at < 0) return null;
  return el('span', { class: 'tile' }, picture('photo', thumbnail(page.runs[at], card.runs[at].photo), `What the model saw of ${card.image}`));
}

const hasPhotographs = () => page.cards.some((card) => card.runs.some((run) => run && run.photo));
const hasPictures = () => page.cards.some((card) => cellsOf(card).some((cell) => cell.map || cell.png));
