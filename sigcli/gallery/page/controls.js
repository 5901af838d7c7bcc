// The bar above the list: search, filters, order, which methods, and the slider from photograph to map.

function select(name, options, value, change) {
  return el('label', { class: 'pick' }, el('span', {}, name),
    el('select', { value, 'aria-label': name, on: { change: (event) => change(event.target.value) } },
      options.map(([key, text]) => el('option', { value: key, selected: key === value }, text))));
}

const counts = (found) => found.map(([text, count]) => [text, `${text} (${count.toLocaleString('en')})`]);

function filters() {
  const { labels, told, failed, wrong, judged } = offers;
  return [
    labels.length > 1 && select('Class', [['', 'All classes'], ...counts(labels)], state.label, (to) => change({ label: to })),
    told.length > 1 && select('Predicted', [['', 'Anything'], ...counts(told)], state.told, (to) => change({ told: to })),
    failed > 0 && select('Status', [['', 'All'], ['done', `Done (${page.cards.length - failed})`], ['failed', `Failed (${failed})`]],
      state.status, (to) => change({ status: to })),
    judged && el('label', { class: 'check' },
      el('input', { type: 'checkbox', checked: state.wrong, on: { change: (event) => change({ wrong: event.target.checked }) } }),
      `Predicted ≠ true (${wrong})`),
  ];
}

function order() {
  const keys = sortKeys();
  const options = [['', 'Order of the run'], ['image', 'name'], ...(offers.bars ? [['probability', 'probability']] : []),
    ...keys.map((key) => [key, valueOf(key)[0]])];
  const columns = [['-1', state.sort === 'differs' ? 'mean over methods' : 'any method'], ...page.columns.map((_, at) => [String(at), columnName(at)])];
  const valued = state.sort && !['image', 'probability'].includes(state.sort);
  const words = state.sort === 'image' || !state.sort ? ['A to Z', 'Z to A'] : ['Largest first', 'Smallest first'];
  if (!state.sort) words.splice(0, 2, 'First to last', 'Last to first');
  return [
    select('Sort by', options, state.sort, (to) => change({ sort: to, down: true })),
    valued && page.columns.length > 1 && select('of', columns, String(state.of), (to) => change({ of: Number(to) })),
    el('button', { class: 'quiet', type: 'button', on: { click: () => change({ down: !state.down }) }, 'aria-label': `Direction: ${words[state.down ? 0 : 1]}` },
      state.down ? '↓ ' : '↑ ', words[state.down ? 0 : 1]),
  ];
}

function methods() {
  if (page.columns.length < 2) return null;
  return el('div', { class: 'chips', role: 'group', 'aria-label': 'Methods that are shown' }, page.columns.map((_, at) =>
    el('button', {
      type: 'button', class: 'chip', 'aria-pressed': String(!state.hidden.has(at)),
      on: { click: () => { toggleColumn(at); } },
    }, columnName(at))));
}

function toggleColumn(at) {
  if (state.hidden.has(at)) state.hidden.delete(at);
  else if (shownColumns().length > 1) state.hidden.add(at);
  change({});
}

// The slider. The middle is the overlay.
function blend(id) {
  const words = () => (state.blend < 0.25 ? 'photograph' : state.blend > 0.75 ? 'map' : 'overlay');
  const input = el('input', {
    id, type: 'range', min: '0', max: '100', step: '1', value: String(100 * state.blend),
    'aria-label': 'From photograph over overlay to map', 'aria-valuetext': words(),
    on: { input: (event) => { setBlend(Number(event.target.value) / 100); } },
  });
  return el('div', { class: 'blend' }, el('span', { 'aria-hidden': 'true' }, 'Photo'), input, el('span', { 'aria-hidden': 'true' }, 'Map'));
}

function setBlend(to) {
  const before = needs();
  state.blend = Math.abs(to - 0.5) < 0.03 ? 0.5 : to; // the middle is easily met
  for (const [key, value] of Object.entries(opacities())) document.documentElement.style.setProperty(key, value);
  const words = state.blend < 0.25 ? 'photograph' : state.blend > 0.75 ? 'map' : 'overlay';
  for (const input of document.querySelectorAll('input[type=range]')) {
    input.value = String(100 * state.blend);
    input.setAttribute('aria-valuetext', words);
  }
  if (before !== needs()) { list.redraw(); detail.redraw(); }
}

// Photograph, overlay, map, and again.
function nextBlend() {
  setBlend(state.blend < 0.25 ? 0.5 : state.blend > 0.75 ? 0 : 1);
}

function drawBar() {
  const open = one('.more')?.open ?? innerWidth > 720;
  const search = el('input', {
    id: 'search', type: 'search', placeholder: 'Search names and classes', 'aria-label': 'Search names, classes and reasons (/)',
    value: state.search, autocomplete: 'off', spellcheck: 'false', on: { input: searched, search: searched },
  });
  return el('div', { class: 'bar' },
    el('div', { class: 'line' },
      el('div', { class: 'search' }, search, el('kbd', { 'aria-hidden': 'true' }, '/')),
      el('p', { id: 'count', class: 'count' }),
      el('button', { id: 'clear', type: 'button', class: 'quiet', hidden: !filtered(), on: { click: clear } }, 'Clear filters'),
      el('div', { class: 'tools' }, hasPictures() && legend(shownColumns()), el('div', { class: 'tools' }, hasPictures() && hasPhotographs() && blend('blend'),
        el('button', { type: 'button', class: 'quiet help', 'aria-label': 'Keyboard and reading help (?)', on: { click: () => help.open() } }, '?')))),
    el('details', { class: 'more', open }, el('summary', {}, 'Filter and sort'),
      el('div', { class: 'line' }, filters(), order(), methods())));
}

// The box was typed in, emptied by its cross or by the Escape key, or filled by the browser: the list always follows it.
function searched(event) {
  if (event.target.value === state.search) return;
  state.search = event.target.value;
  apply();
}

const filtered = () => Boolean(state.label || state.told || state.status || state.wrong || state.search);

function clear() {
  change({ search: '', label: '', told: '', status: '', wrong: false });
  one('#search').focus();
}

// Something other than the search was changed.
function change(what) {
  Object.assign(state, what);
  redrawBar();
  apply();
}

// The bar is drawn anew; the focus stays where it was, and in the search box the cursor.
function redrawBar() {
  const focusable = () => [...one('.bar').querySelectorAll('button, select, input, summary')];
  const [before, at] = [document.activeElement, focusable().indexOf(document.activeElement)];
  const named = (other) => other.id || other.getAttribute('aria-label') || other.textContent;
  one('.bar').replaceWith(drawBar());
  if (at < 0) return;
  const now = focusable();
  const same = now.find((other) => named(other) === named(before)) || now[Math.min(at, now.length - 1)];
  same?.focus();
  if (same?.id === 'search') same.setSelectionRange(before.selectionStart, before.selectionEnd);
}

// Filter and sort; the list begins at its top.
function apply() {
  const found = chosen();
  tell(found);
  measure();
  list.show(found);
  say(one('#count').textContent);
  const top = one('#feed').getBoundingClientRect().top + scrollY - one('.bar').offsetHeight;
  if (scrollY > top) scrollTo(0, Math.max(0, top));
}

// What is said of the list: how many, why there is none, and in which order they stand.
function tell(found) {
  const all = page.cards.length;
  one('#count').textContent = found.length === all ? many(all, cardWord()) : `${found.length.toLocaleString('en')} of ${many(all, cardWord())}`;
  one('#clear').hidden = !filtered();
  const none = page.going && !page.going.ended ? 'No map is done yet. Each image appears here when its first map is.' : 'The run has no images.';
  one('#none').textContent = all ? 'No image fits these filters.' : none;
  one('#none').hidden = found.length > 0;
  const order = orderWords();
  one('#measure').hidden = !order;
  one('#measure').textContent = order;
}

// Of several runs: what their maps differ by, and only where it is so that the order is that of the difference.
function orderWords() {
  if (!several()) return '';
  if (!offers.shared) return 'These runs share no image, by name, so nothing is compared.';
  if (!offers.differ) return 'These runs share no map, so none are compared.';
  const over = state.of < 0 ? `averaged over ${averagedOver()}` : `of ${columnName(state.of)}`;
  if (state.sort !== 'differs') return `How much the maps of an image differ is ${page.measure}, averaged over ${averagedOver()}.`;
  return `Maps that differ ${state.down ? 'most' : 'least'} come first: ${page.measure}, ${over}.`;
}

const cardWord = () => (offers.ranked ? 'explanation' : 'image');
