// The panels beside the list: metrics, failures, and what the runs are.

function metricsPanel() {
  const charts = [...curveGroups()];
  const figures = page.inside ? [] : page.runs.flatMap((run) => run.figures.map((name) => [run, name]));
  const means = meansTable();
  return el('div', { class: 'panel' },
    means && [el('h2', {}, 'Means over images'), means, el('p', { class: 'hint' }, `Under each mean its 95 % interval. Bold: better than every other method${several() ? ' of its run' : ''}, each by a paired 95 % interval that leaves out zero, over at least 10 images. ↑ higher is better, ↓ lower is better.`)],
    modelTable(),
    charts.length > 0 && [el('h2', {}, 'Curves'), el('div', { class: 'charts' }, charts.map(([metric, group]) => chart(metric, group)))],
    page.runs.map(pairsTable),
    figures.length > 0 && [el('h2', {}, 'Figures'), el('div', { class: 'charts' }, figures.map(([run, name]) =>
      el('figure', {}, el('a', { href: url(run.files, name) }, el('img', { src: url(run.files, name), alt: `${name} of ${run.name}`, loading: 'lazy' })),
        el('figcaption', {}, several() ? `${run.name}: ${name}` : name))))]);
}

const hasMetrics = () => page.runs.some((run) => run.means.length || run.curves.length || run.figures.length);

// What failed, by image and reason, and which methods.
function failures() {
  const found = new Map();
  for (const card of page.cards) card.cells.forEach((cell, at) => {
    if (!cell || !cell.failed) return;
    const key = JSON.stringify([card.image, cell.note]);
    if (!found.has(key)) found.set(key, { image: card.image, reason: cell.note || 'no reason was told', methods: [] });
    found.get(key).methods.push(columnName(at));
  });
  return [...found.values()];
}

function failedPanel() {
  const all = failures();
  const shown = all.slice(0, 500);
  return el('div', { class: 'panel' }, el('h2', {}, `${many(all.length, 'failure')}`),
    table('Failures', ['image', 'methods', 'reason'].map((text) => el('th', { scope: 'col' }, text)),
      shown.map((one) => [el('th', { scope: 'row' }, el('bdi', {}, one.image)), el('td', {}, one.methods.join(', ')), el('td', { class: 'reason' }, one.reason)])),
    all.length > shown.length && el('p', { class: 'hint' }, `… and ${all.length - shown.length} more in results.csv.`));
}

function aboutPanel() {
  return el('div', { class: 'panel' }, page.runs.map((run) => [
    el('h2', {}, el('bdi', {}, run.name)),
    el('dl', { class: 'known' }, [
      ['model', run.model], ['weights', run.weights], ['hash of the weights', run.weights_hash], ['target', run.target],
      ['score', run.output], ['seed', run.seed], ['precision', run.precision], ['device', run.device], ['view', run.view],
      ['versions', Object.entries(run.versions).map(([name, version]) => `${name} ${version}`).join(', ')],
    ].filter(([, value]) => value).map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value)))),
    Object.keys(run.methods).length > 0 && [el('h3', {}, 'Methods and their options'), el('dl', { class: 'known' }, Object.entries(run.methods).map(([name, options]) =>
      el('div', {}, el('dt', {}, name), el('dd', {}, Object.entries(options).filter(([key]) => key !== 'method').map(([key, value]) => `${key} = ${value}`).join(', ') || 'no options'))))],
    run.notes.length > 0 && [el('h3', {}, 'Notes'), el('ul', {}, run.notes.map((note) => el('li', {}, note)))],
    !page.inside && run.tables.length > 0 && [el('h3', {}, 'Files'), el('p', { class: 'links' }, run.tables.map((name) => el('a', { href: url(run.files, name) }, name)))],
  ]), el('p', { class: 'hint' }, `Written by sig ${page.version}, ${clock(page.made)}. The page has no server and asks nothing of the network.`));
}
