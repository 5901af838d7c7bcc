// Means and curves of an evaluation.

const COLOURS = 8;
const lineName = (run, curve) => (several() ? `${curve.method} · ${run.name}` : curve.method);

// Curves of all runs by metric: [metric, along, [name, points, colour]].
function curveGroups() {
  const found = new Map();
  const names = [];
  for (const run of page.runs) for (const curve of run.curves) {
    const name = lineName(run, curve);
    if (!names.includes(name)) names.push(name);
    if (!found.has(curve.metric)) found.set(curve.metric, { along: curve.along, lines: [] });
    found.get(curve.metric).lines.push({ name, points: curve.points, colour: names.indexOf(name) % COLOURS });
  }
  return found;
}

// Unit of a curve, and whether a good map's is high or low: as curves.png says it.
const FLIPPED = 'share of the superpixels removed';

function measured(metric, along) {
  const row = page.runs.flatMap((run) => run.means).find((mean) => mean.metric === metric && !mean.minus);
  if (!row || !row.unit) return 'value';
  const better = along === FLIPPED ? { higher: 'lower', lower: 'higher' }[row.better] : row.better;
  return better ? `${row.unit} (${{ higher: '↑', lower: '↓' }[better]} ${better} is better)` : row.unit;
}

const WIDE = 420, HIGH = 240, LEFT = 58, RIGHT = 10, TOP = 10, BOTTOM = 34;

function ticks(low, high) {
  const rough = (high - low) / 4 || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((by) => by * unit).find((by) => by >= rough);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) found.push(Number(at.toPrecision(6)));
  return found;
}

function chart(metric, { along, lines }) {
  const all = lines.flatMap(({ points }) => points);
  const [x0, x1] = [Math.min(...all.map((p) => p[0])), Math.max(...all.map((p) => p[0]))];
  const lows = all.flatMap((p) => [p[1], p[2] ?? p[1], p[3] ?? p[1]]);
  const [y0, y1] = [Math.min(0, ...lows), Math.max(...lows) || 1];
  const x = (value) => LEFT + (WIDE - LEFT - RIGHT) * (value - x0) / (x1 - x0 || 1);
  const y = (value) => HIGH - BOTTOM - (HIGH - TOP - BOTTOM) * (value - y0) / (y1 - y0 || 1);
  const path = (points) => points.map(([at, mean], number) => `${number ? 'L' : 'M'}${x(at).toFixed(1)} ${y(mean).toFixed(1)}`).join('');
  const band = (points) => {
    const both = points.filter((p) => p[2] !== null && p[3] !== null);
    const back = [...both].reverse().map((p) => [p[0], p[2]]);
    return both.length > 1 ? path([...both.map((p) => [p[0], p[3]]), ...back]) + 'Z' : '';
  };
  const svg = el('svg:svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, role: 'img', 'aria-label': `${metric}: ${lines.map(({ name }) => name).join(', ')} along the ${along}` },
    ticks(y0, y1).map((at) => [
      el('svg:line', { class: 'grid', x1: LEFT, x2: WIDE - RIGHT, y1: y(at), y2: y(at) }),
      el('svg:text', { x: LEFT - 6, y: y(at) + 4, 'text-anchor': 'end' }, figure(at)),
    ]),
    ticks(x0, x1).map((at) => el('svg:text', { x: x(at), y: HIGH - BOTTOM + 16, 'text-anchor': 'middle' }, figure(at))),
    el('svg:text', { x: (LEFT + WIDE - RIGHT) / 2, y: HIGH - 3, 'text-anchor': 'middle' }, along),
    el('svg:text', { transform: `translate(12 ${(TOP + HIGH - BOTTOM) / 2}) rotate(-90)`, 'text-anchor': 'middle' }, measured(metric, along)),
    lines.map(({ points, colour }) => el('svg:path', { class: `band c${colour}`, d: band(points) })),
    lines.map(({ points, colour }) => el('svg:path', { class: `line c${colour}`, d: path(points) })));
  return el('figure', { class: 'chart' }, el('h3', {}, metric), svg,
    el('figcaption', {}, lines.map(({ name, colour }) => el('span', { class: 'key' }, el('span', { class: `dot c${colour}` }), name))));
}

// Means of every run and method, in bold what the paired intervals support; intervals under them.
function meansTable() {
  const rows = page.runs.flatMap((run) => run.means.filter((mean) => !mean.minus && mean.method).map((mean) => ({ run, ...mean })));
  if (!rows.length) return null;
  const metrics = [...new Set(rows.map((mean) => mean.metric))];
  const whose = [...new Set(rows.map((mean) => lineName(mean.run, mean)))];
  const of = (name, metric) => rows.find((mean) => lineName(mean.run, mean) === name && mean.metric === metric);
  const arrow = { higher: ' ↑', lower: ' ↓' };
  return table('Means over images', [el('th', { scope: 'col' }, 'method'), metrics.map((metric) => {
    const better = rows.find((mean) => mean.metric === metric).better;
    return el('th', { scope: 'col', class: 'number', title: better && `${better} is better` }, metric, arrow[better] || '');
  })], whose.map((name) => [el('th', { scope: 'row' }, name), metrics.map((metric) => el('td', { class: 'number' }, mean(of(name, metric))))]));
}

function mean(found) {
  if (!found || found.mean === null) return DASH;
  const value = el(found.best ? 'strong' : 'span', {}, decimal(found.mean));
  if (found.ci_low === null) return value;
  return [value, el('small', {}, `${decimal(found.ci_low)} to ${decimal(found.ci_high)}`)];
}

function table(name, head, lines) {
  return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': name },
    el('table', {}, el('thead', {}, el('tr', {}, head)), el('tbody', {}, lines.map((cells) => el('tr', {}, cells)))));
}

function pairsTable(run) {
  const pairs = run.means.filter((mean) => mean.minus);
  if (!pairs.length) return null;
  return [el('h2', {}, several() ? `Paired differences · ${run.name}` : 'Paired differences'),
    table('Paired differences', ['difference', 'metric', 'mean', '95 % interval', 'images'].map((text, at) => el('th', { scope: 'col', class: at > 1 ? 'number' : '' }, text)),
      pairs.map((mean) => [el('th', { scope: 'row' }, `${mean.method} − ${mean.minus}`), el('td', {}, mean.metric),
        el('td', { class: 'number' }, decimal(mean.mean)),
        el('td', { class: 'number' }, mean.ci_low === null ? DASH : `${decimal(mean.ci_low)} to ${decimal(mean.ci_high)}`),
        el('td', { class: 'number' }, String(mean.n ?? DASH))]))];
}

function modelTable() {
  const rows = page.runs.flatMap((run) => run.means.filter((mean) => !mean.method).map((mean) => [run, mean]));
  if (!rows.length) return null;
  return [el('h2', {}, 'The model'), table('The model', ['metric', several() && 'run', 'value', '95 % interval', 'images'].filter(Boolean).map((text) => el('th', { scope: 'col' }, text)),
    rows.map(([run, mean]) => [el('th', { scope: 'row' }, mean.metric), several() && el('td', {}, run.name), el('td', {}, figure(mean.mean)),
      el('td', {}, mean.ci_low === null ? DASH : `${figure(mean.ci_low)} to ${figure(mean.ci_high)}`), el('td', {}, String(mean.n ?? DASH))]))];
}
