// The data of the page, what can be filtered and sorted by, and which cards are shown. Nothing here touches the document.

let page = window.SIG_PAGE;
const several = () => page.runs.length > 1;

const state = {
  search: '', label: '', told: '', status: '', wrong: false,
  sort: '', of: -1, down: true,
  hidden: new Set(), // columns that are switched off
  blend: 0.5, // 0: photograph, 0.5: overlay, 1: map
};

// What a column is called: its method, and of several runs the run.
function columnName(at) {
  const column = page.columns[at];
  return several() ? `${column.method} · ${page.runs[column.run].name}` : column.method;
}

const shownColumns = () => page.columns.map((_, at) => at).filter((at) => !state.hidden.has(at));
const known = (card) => card.runs.find((run) => run) || {};
const cellsOf = (card) => card.cells.filter((cell) => cell);
const done = (cell) => Boolean(cell && !cell.failed);
const nameOf = (cell) => cell.label || (cell.target ? `class ${cell.target}` : '');
const targetOf = (card, run) => nameOf(card.cells.find((cell, at) => cell && page.columns[at].run === run && nameOf(cell)) || {});
const labelsOf = (card) => [...new Set(cellsOf(card).map(nameOf).filter(Boolean))];
const predictedOf = (card) => [...new Set(card.runs.filter((run) => run && run.predicted).map((run) => run.predicted))];
const trueOf = (card) => (card.runs.find((run) => run && run.true !== undefined) || {}).true;

const signed = (value) => (value > 0 ? `+${figure(value)}` : figure(value));

// Values of a cell that cards can be sorted by: key → [heading, value of a cell, how it is written, larger first].
const VALUES = {
  score: ['score', (cell) => cell.score, figure, true],
  gap: ['completeness gap', (cell) => cell.gap, percent, true],
  error: ['standard error', (cell) => cell.shown ?? cell.error, percent, true],
  seconds: ['time', (cell) => cell.seconds, duration, true],
  evaluations: ['evaluations', (cell) => cell.evaluations, (n) => n.toLocaleString('en'), true],
  differs: ['difference of maps', (cell) => cell.differs, decimal, true],
  change: ['change of score', (cell) => cell.change, signed, true],
};

function valueOf(key) {
  if (VALUES[key]) return VALUES[key];
  const metric = key.replace(/^(metric|change):/, '');
  if (key.startsWith('metric:')) return [metric, (cell) => (cell.metrics || {})[metric], decimal, true];
  return [`change of ${metric}`, (cell) => (cell.changes || {})[metric], signed, true];
}

// The keys that some cell has a value for.
const sortKeys = () => offers.keys;

function valuedKeys() {
  const keys = [...Object.keys(VALUES), ...page.metrics.map((name) => `metric:${name}`)];
  if (several()) keys.push(...page.metrics.map((name) => `change:${name}`));
  return keys.filter((key) => {
    const read = valueOf(key)[1];
    return page.cards.some((card) => card.cells.some((cell) => cell && read(cell) !== undefined));
  });
}

// A card's value: of one column, or of the shown ones the largest; of the difference of maps the mean.
function sortValue(card, key) {
  if (key === 'probability') return (known(card).told || [[, undefined]])[0][1];
  if (key === 'differs' && state.of < 0) return card.differs; // the mean, which its badge shows
  const read = valueOf(key)[1];
  const cells = state.of >= 0 ? [card.cells[state.of]] : shownColumns().map((at) => card.cells[at]);
  const change = key.startsWith('change');
  let best;
  for (const cell of cells) {
    const value = cell ? read(cell) : undefined;
    if (value === undefined || value === null) continue;
    if (best === undefined || (change ? Math.abs(value) > Math.abs(best) : value > best)) best = value;
  }
  return change && best !== undefined ? Math.abs(best) : best;
}

// What the bar offers, counted once for the data.
let offers = {};

function prepare() {
  page.cards.forEach((card, at) => {
    card.at = at;
    card.text = [card.image, trueOf(card) || '', ...labelsOf(card), ...predictedOf(card), ...cellsOf(card).map((cell) => cell.note || '')]
      .join('\n').toLowerCase();
    card.labels = labelsOf(card);
    card.predicted = predictedOf(card);
    card.failed = cellsOf(card).some((cell) => cell.failed);
    card.wrong = card.runs.some((run) => run && run.wrong);
  });
  offers = {
    keys: valuedKeys(), labels: counted((card) => card.labels), told: counted((card) => card.predicted),
    failed: page.cards.filter((card) => card.failed).length, wrong: page.cards.filter((card) => card.wrong).length,
    judged: page.cards.some((card) => trueOf(card) !== undefined), bars: page.cards.some((card) => known(card).told),
    badges: page.cards.some((card) => card.failed || card.wrong || card.differs !== undefined),
    differ: page.cards.some((card) => card.differs !== undefined),
    shared: page.cards.some((card) => card.runs.filter(Boolean).length > 1),
    ranked: page.cards.some((card) => card.rank > 0),
  };
}

// How many cards have each text, the most frequent first.
function counted(read) {
  const found = new Map();
  for (const card of page.cards) for (const text of read(card)) found.set(text, (found.get(text) || 0) + 1);
  return [...found].sort((a, b) => b[1] - a[1] || collator.compare(a[0], b[0]));
}

function chosen() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = page.cards.filter((card) =>
    (!state.label || card.labels.includes(state.label)) &&
    (!state.told || card.predicted.includes(state.told)) &&
    (!state.wrong || card.wrong) &&
    (!state.status || (state.status === 'failed') === card.failed) &&
    words.every((word) => card.text.includes(word)));
  const order = state.sort === 'image' ? byName : byValue(state.sort);
  return state.sort ? found.sort(order) : state.down ? found : found.reverse();
}

const collator = new Intl.Collator(undefined, { numeric: true });
const byName = (a, b) => (state.down ? 1 : -1) * collator.compare(a.image, b.image) || a.at - b.at;

// Cards without a value come last, whichever the direction.
function byValue(key) {
  const values = new Map(page.cards.map((card) => [card, sortValue(card, key)]));
  return (a, b) => {
    const [x, y] = [values.get(a), values.get(b)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined) || a.at - b.at;
    return (state.down ? y - x : x - y) || a.at - b.at;
  };
}
