// A row of the list: name, answer of the model, photograph, and a tile for each column.

// The value that cards are sorted by, else the gap; under it what is known of sampling error and time.
function figures(cell) {
  if (!done(cell)) return [];
  const found = [];
  if (cell.gap !== undefined) found.push(['gap', percent(cell.gap), 'Completeness gap, relative to the difference of scores']);
  const error = cell.shown ?? cell.error;
  if (error !== undefined) found.push(['error', percent(error), 'Standard error of the map, relative to the map']);
  if (cell.seconds !== undefined) found.push(['', duration(cell.seconds), 'Wall time']);
  return found;
}

function marked(cell) {
  const key = state.sort;
  if (!key || ['image', 'probability', 'gap', 'error', 'seconds'].includes(key) || !done(cell)) return null;
  const [heading, read, write] = valueOf(key);
  const value = read(cell);
  return value === undefined ? null : el('span', { class: `mark ${sign(key, value)}`, title: heading }, write(value));
}

const sign = (key, value) => (key.startsWith('change') && value ? (value > 0 ? 'plus' : 'minus') : '');

function column(card, at) {
  const cell = card.cells[at];
  const name = page.columns[at];
  const heading = el('div', { class: 'names' },
    el('span', { class: 'method', title: colourTitle(at) }, name.method),
    cell && marked(cell));
  const told = cell && figures(cell).map(([what, value, title]) => el('span', { title }, what && `${what} `, value));
  const run = several() && el('span', { class: 'run', title: page.runs[name.run].name }, el('bdi', {}, page.runs[name.run].name));
  const answer = several() && done(cell) && el('span', {}, `${nameOf(cell)} ${figure(cell.score)}`);
  return el('figure', {}, tile(card, at), el('figcaption', {}, heading,
    el('div', { class: 'figures' }, cell && cell.failed ? el('span', { class: 'why', title: cell.note }, cell.note) : [run, answer, told])));
}

function target(card) {
  const cells = cellsOf(card).filter(done);
  if (!cells.length) return el('p', { class: 'why' }, (cellsOf(card)[0] || {}).note || 'failed');
  const cell = cells[0];
  const labels = card.labels.length > 1 && several() ? card.labels.join(' / ') : nameOf(cell);
  return el('p', { class: 'goal' }, el('span', { class: 'label', title: labels }, labels),
    !several() && el('span', { class: 'score' }, `${cell.unit || 'score'} ${figure(cell.score)}`),
    cell.region && el('span', { class: 'score' }, cell.region));
}

// Of several runs the bars are those of the first that has the image.
function whose(card) {
  const at = card.runs.findIndex((run) => run);
  if (!several() || !known(card).told) return null;
  return el('p', { class: 'whose' }, 'predicted by ', el('bdi', {}, page.runs[at].name));
}

function badges(card) {
  const found = [];
  if (card.failed) found.push(el('span', { class: 'badge bad' }, 'failed'));
  if (card.wrong) found.push(el('span', { class: 'badge odd' }, `true: ${trueOf(card)}`));
  if (card.differs !== undefined) found.push(el('span', { class: 'badge', title: `Mean over ${averagedOver()} of 1 − ρ` }, `differs ${decimal(card.differs)}`));
  return found.length ? el('p', { class: 'badges' }, found) : null;
}

const averagedOver = () => (page.runs.length > 2 ? 'methods and runs' : 'methods');

function row(card, at) {
  const told = known(card).told;
  const name = el('h3', { id: `card-${card.at}` }, el('bdi', { title: card.image }, card.image));
  const photo = hasPictures() && hasPhotographs() && (photograph(card) || el('span', { class: 'tile none' }, el('span', {}, 'no photograph')));
  return el('article', { class: 'row', role: 'article', 'aria-labelledby': `card-${card.at}`, on: { click: (event) => opened(event, at) } },
    el('div', { class: 'about' }, name, target(card), badges(card), whose(card), bars(told, targetOf(card, card.runs.findIndex((run) => run)), trueOf(card))),
    el('div', scrolls ? { class: 'tiles', tabindex: '0', role: 'group', 'aria-label': `Maps of ${card.image}` } : { class: 'tiles' },
      photo && el('figure', { class: 'first' }, photo, el('figcaption', {}, el('div', { class: 'names' }, el('span', { class: 'method' }, 'photograph')), el('div', { class: 'figures' }))),
      shownColumns().map((one) => column(card, one))));
}

function opened(event, at) {
  if (getSelection().toString()) return; // a name is being copied
  list.activate(at);
  detail.open(at);
}
