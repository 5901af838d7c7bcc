// One image, large: all methods, all numbers.

const detail = {
  at: 0, column: 0, dialog: null,

  open(at) {
    this.at = at;
    const columns = shownColumns();
    if (!columns.includes(this.column) || !done(this.card().cells[this.column])) {
      this.column = columns.find((one) => done(this.card().cells[one])) ?? columns[0];
    }
    if (!this.dialog.open) this.dialog.showModal();
    address.set(this.card());
    one('#lost').hidden = true;
    this.redraw();
    this.dialog.focus();
  },

  card() { return list.items[this.at]; },

  close() { this.dialog.close(); },

  closed() {
    if (this.dialog.open) return; // and opened again by an address meanwhile
    address.set(null);
    list.go(this.at);
  },

  move(by) {
    const to = this.at + by;
    if (to < 0 || to >= list.items.length) return;
    this.at = to;
    address.soon(this.card());
    this.redraw();
    say(`${this.card().image}, ${to + 1} of ${list.items.length}`);
  },

  pick(by) {
    const columns = shownColumns();
    const to = columns[(columns.indexOf(this.column) + by + columns.length) % columns.length];
    this.choose(to);
  },

  choose(column) {
    this.column = column;
    this.redraw();
    say(columnName(column));
  },

  redraw() {
    if (!this.dialog || !this.dialog.open) return;
    const held = this.dialog.contains(document.activeElement) && document.activeElement.getAttribute('data-key');
    const card = this.card();
    this.dialog.replaceChildren(this.head(card), el('div', { class: 'body' }, this.stage(card), this.facts(card)));
    if (held) one(`[data-key="${held}"]`, this.dialog)?.focus();
  },

  head(card) {
    const step = (by, sign, words, key) => el('button', {
      type: 'button', class: 'quiet', 'aria-label': words, 'data-key': key, disabled: !list.items[this.at + by],
      on: { click: () => this.move(by) },
    }, sign);
    return el('header', {},
      el('h2', { id: 'detail-name' }, el('bdi', {}, card.image)),
      el('span', { class: 'count' }, `${(this.at + 1).toLocaleString('en')} of ${list.items.length.toLocaleString('en')}`),
      step(-1, '←', 'Previous image', 'before'), step(1, '→', 'Next image', 'after'),
      el('button', { type: 'button', class: 'quiet', 'aria-label': 'Close', 'data-key': 'close', on: { click: () => this.close() } }, '✕'));
  },

  stage(card) {
    const cell = card.cells[this.column];
    const strip = shownColumns().length > 1 && hasPictures();
    return el('div', { class: 'stage' },
      hasPictures() && this.large(card),
      hasPictures() && legend([this.column]),
      hasPictures() && hasPhotographs() && blend('blend-large'),
      strip && el('div', { class: 'strip', role: 'group', 'aria-label': 'Methods' }, shownColumns().map((at) =>
        el('button', {
          type: 'button', 'aria-pressed': String(at === this.column), 'data-key': `m${at}`,
          on: { click: () => this.choose(at) },
        }, tile(card, at), el('span', {}, columnName(at))))),
      cell && this.links(card, cell));
  },

  // The map that is chosen; of several runs those of the same method, side by side.
  large(card) {
    const { method } = page.columns[this.column];
    const same = shownColumns().filter((at) => page.columns[at].method === method && card.cells[at]);
    if (!several() || same.length < 2) return el('div', { class: 'large' }, tile(card, this.column, true));
    return el('div', { class: 'large beside' }, same.map((at) => el('figure', {}, tile(card, at, true),
      el('figcaption', {}, el('bdi', {}, page.runs[page.columns[at].run].name)))));
  },

  links(card, cell) {
    const run = page.runs[page.columns[this.column].run];
    const here = card.runs[page.columns[this.column].run] || {};
    if (page.inside || here.folder === undefined) return null;
    const kinds = [['png', '.png', 'Map with scale'], ['opng', '.overlay.png', 'Overlay with scale'], ['npy', '.npy', 'Array']];
    const found = kinds.filter(([kind]) => cell[kind]).map(([, ending, words]) =>
      el('a', { href: url(run.files, here.folder, `${cell.file}${ending}`), target: '_blank', rel: 'noopener noreferrer' }, words));
    return found.length ? el('p', { class: 'links' }, found) : null;
  },

  facts(card) {
    const told = page.runs.map((run, at) => [run, card.runs[at], targetOf(card, at)]).filter(([, here]) => here && here.told);
    const truth = trueOf(card);
    return el('div', { class: 'facts' },
      truth !== undefined && el('p', { class: 'truth' }, 'True class: ', el('strong', {}, truth)),
      told.map(([run, here, target]) => el('section', {}, el('h3', {}, several() ? `Predictions · ${run.name}` : 'Predictions'),
        bars(here.told, target, truth))),
      el('section', {}, el('h3', {}, 'Numbers'), this.numbers(card)),
      this.notes(card));
  },

  // A table with a row for each value that some cell has, and a column for each method.
  numbers(card) {
    const columns = shownColumns().filter((at) => card.cells[at]);
    const keys = sortKeys().filter((key) => columns.some((at) => valueOf(key)[1](card.cells[at]) !== undefined));
    const line = (heading, read) => el('tr', {}, el('th', { scope: 'row' }, heading),
      columns.map((at) => el('td', { class: at === this.column ? 'here' : '' }, read(card.cells[at]))));
    return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Numbers of each method' }, el('table', {},
      el('thead', {}, el('tr', {}, el('td', {}), columns.map((at) => el('th', { scope: 'col', class: at === this.column ? 'here' : '' }, columnName(at))))),
      el('tbody', {}, line('target', (cell) => nameOf(cell) || DASH), keys.map((key) => {
        const [heading, read, write] = valueOf(key);
        return line(heading, (cell) => { const value = read(cell); return value === undefined ? DASH : write(value); });
      }))));
  },

  notes(card) {
    const found = shownColumns().filter((at) => card.cells[at] && (card.cells[at].note || card.cells[at].stopped));
    if (!found.length) return null;
    return el('section', {}, el('h3', {}, 'Notes'), el('dl', { class: 'notes' }, found.map((at) => [
      el('dt', {}, columnName(at), card.cells[at].failed && el('span', { class: 'badge bad' }, 'failed')),
      el('dd', {}, [card.cells[at].note, card.cells[at].stopped && `ended by ${card.cells[at].stopped}`].filter(Boolean).join('; ')),
    ])));
  },
};

function makeDetail() {
  detail.dialog = el('dialog', {
    class: 'detail', 'aria-labelledby': 'detail-name', tabindex: '-1',
    on: {
      close: () => detail.closed(),
      click: (event) => { if (event.target === detail.dialog) detail.close(); },
    },
  });
  return detail.dialog;
}
