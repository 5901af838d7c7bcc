// What the colours of the shown maps say: a scale for each way in which they are read, and the same in words.

// Columns that are read alike: their colours, the words at both ends, and which they are; the largest group first.
function readings(columns) {
  const found = new Map();
  for (const at of columns) {
    const [{ run, ends, positive }, key] = [page.columns[at], JSON.stringify([page.runs[page.columns[at].run].colours, page.columns[at].ends])];
    if (!found.has(key)) found.set(key, { colours: page.runs[run].colours, ends, salient: positive === 'salient', columns: [] });
    found.get(key).columns.push(at);
  }
  return [...found.values()].sort((a, b) => b.columns.length - a.columns.length);
}

// Methods of a group, and where runs have colours of their own the runs too.
function whichOf(group) {
  const alike = new Set(page.runs.map((run) => JSON.stringify(run.colours))).size === 1;
  return [...new Set(group.columns.map((at) => (alike ? page.columns[at].method : columnName(at))))].join(', ');
}

const ramp = (colours) => el('span', { class: 'ramp', 'aria-hidden': 'true', vars: { '--ramp': colours.join(', ') } });

function legend(columns) {
  const groups = readings(columns).filter(({ colours }) => colours.signed);
  if (!groups.length) return null;
  const plain = groups.map((group) => group.colours.plain).find(Boolean);
  return el('div', { class: 'legend' },
    groups.map((group, number) => el('p', { title: whichOf(group) },
      number > 0 && el('span', { class: 'which' }, whichOf(group)), el('span', {}, group.ends[0]), ramp(group.colours.signed), el('span', {}, group.ends[1]))),
    plain && el('p', {}, el('span', { class: 'which' }, 'no negative values'), el('span', {}, '0'), ramp(plain), el('span', {}, 'most')));
}

// How the colours of a group are read, as below every sheet.
function reading({ colours, ends, salient }) {
  const [low, high] = colours.names;
  if (salient) return `${high} marks what matters, whether for or against the target`;
  if (ends[1] === 'raises') return `${high} is where a larger value of the input raises the score, ${low} where it lowers it`;
  if (ends[1] === 'pulls together') return `${high} pulls the pair together, ${low} pushes it apart`;
  return `${high} speaks for the target, ${low} against it`;
}

function colourWords() {
  const groups = readings(page.columns.map((_, at) => at));
  const told = groups.map((group, number) => (number ? `Of ${whichOf(group)}, ${reading(group)}.` : `${reading(group)[0].toUpperCase()}${reading(group).slice(1)}.`));
  if (groups.some((group) => group.colours.plain)) told.push('Maps without negative values go from dark, which is 0, to bright.');
  return [...told, 'Each map has its own scale. Overlays show colour where the map is strong.'].join(' ');
}

// What one column's colours say, in a few words.
function colourTitle(at) {
  const { colours: { names }, ends } = readings([at])[0];
  return `${columnName(at)}: ${names[0]} ${ends[0]}, ${names[1]} ${ends[1]}`;
}
