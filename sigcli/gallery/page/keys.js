// The keyboard: of the list, of the large view, and the help that tells of both.

const KEYS = [
  ['/', 'search'], ['↑ ↓', 'from row to row'], ['Enter', 'open the row'], ['Space', 'photograph, overlay, map'],
  ['← →', 'in the large view: previous and next image'], ['↑ ↓', 'in the large view: from method to method'],
  ['Esc', 'close, or empty the search'], ['?', 'this help'],
];

const help = {
  dialog: null,
  open() {
    one('.colours', this.dialog).textContent = colourWords();
    if (!this.dialog.open) this.dialog.showModal();
  },
};

function makeHelp() {
  help.dialog = el('dialog', { class: 'help', 'aria-labelledby': 'help-name' },
    el('header', {}, el('h2', { id: 'help-name' }, 'Reading this page'),
      el('button', { type: 'button', class: 'quiet', 'aria-label': 'Close', on: { click: () => help.dialog.close() } }, '✕')),
    el('p', { class: 'colours' }),
    el('p', {}, 'The gap is how far a map is from adding up to the difference of scores that it explains. The error is the standard error of the map from sampling, relative to the map.'),
    el('dl', { class: 'keys' }, KEYS.map(([key, what]) => [el('dt', {}, key.split(' ').map((part) => el('kbd', {}, part))), el('dd', {}, what)])));
  return help.dialog;
}

const typing = (target) => target.closest('input:not([type=range]):not([type=checkbox]), select, textarea');
const pressing = (target) => target.closest('button, summary, a, [role=tab]');

function inDetail(event) {
  const act = {
    ArrowLeft: () => detail.move(-1), ArrowRight: () => detail.move(1),
    ArrowUp: () => detail.pick(-1), ArrowDown: () => detail.pick(1), ' ': nextBlend, '?': () => help.open(),
  }[event.key];
  const own = event.target.matches('input[type=range]') && event.key.startsWith('Arrow');
  const scrolled = event.target.closest('.scroll') && event.key.startsWith('Arrow');
  if (!act || own || scrolled || (event.key === ' ' && pressing(event.target))) return;
  event.preventDefault();
  act();
}

function inList(event) {
  const act = {
    '/': () => one('#search').focus(), '?': () => help.open(), ' ': nextBlend,
    ArrowDown: () => list.go(onRow() ? list.active + 1 : list.active), ArrowUp: () => list.go(list.active - 1),
    Home: () => list.go(0), End: () => list.go(list.items.length - 1),
    PageDown: () => list.go(list.active + perPage()), PageUp: () => list.go(list.active - perPage()),
    Enter: () => { if (onRow()) detail.open(list.active); },
  }[event.key];
  if (!act || pressing(event.target)) return;
  if (event.target.matches('input[type=range]') && event.key !== '/' && event.key !== '?') return;
  if (!onRow() && ['Enter', 'Home', 'End', 'PageDown', 'PageUp'].includes(event.key)) return;
  if (!onRow() && event.key === ' ' && event.target.matches('input')) return;
  event.preventDefault();
  act();
}

const onRow = () => Boolean(document.activeElement?.closest?.('.row'));
const perPage = () => Math.max(1, Math.floor((innerHeight - 120) / list.height));

// The first press empties the box, the second leaves it. Chromium would empty it by itself, and tell nobody once it is left.
function leaveSearch(event) {
  event.preventDefault();
  if (!event.target.value) { event.target.blur(); return; }
  event.target.value = '';
  searched(event);
}

function listenToKeys() {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.dialog.open) return;
    if (typing(event.target)) {
      if (event.key === 'Escape' && event.target.id === 'search') leaveSearch(event);
      if (event.key === 'ArrowDown' && event.target.id === 'search') { event.preventDefault(); list.go(list.active); }
      return;
    }
    if (detail.dialog.open) inDetail(event);
    else if (!one('#images').hidden) inList(event);
    else if (event.key === '?') help.open();
  });
}
