// A list of thousands of cards, of which only those near the window are in the document. All rows are equally high.

const STILL = 120; // milliseconds that a row stands before its pictures are loaded, while the list is scrolled

class List {
  constructor(holder, render) {
    this.holder = holder;
    this.render = render;
    this.items = [];
    this.rows = new Map(); // place → element
    this.active = 0;
    this.height = 1;
    this.waiting = false;
    this.bare = new Map(); // rows whose pictures are not loaded yet → since when they stand
    addEventListener('scroll', () => this.soon(), { passive: true });
  }

  show(items, active = 0) {
    this.items = items;
    this.active = Math.max(0, Math.min(active, items.length - 1));
    this.redraw();
  }

  // All rows anew, for instance at another size.
  redraw() {
    const focused = this.rows.get(this.active)?.contains(document.activeElement);
    for (const place of [...this.rows.keys()]) this.drop(place);
    this.holder.style.height = `${this.items.length * this.height}px`;
    this.draw(true);
    if (focused) this.rows.get(this.active)?.focus({ preventScroll: true });
  }

  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  span() {
    const top = -this.holder.getBoundingClientRect().top;
    const first = Math.floor(top / this.height) - 2;
    const last = Math.ceil((top + innerHeight) / this.height) + 2;
    return [Math.max(0, first), Math.min(this.items.length, last)];
  }

  // The rows near the window. While the list races by, a row's pictures wait until it has stood for a moment: those of
  // thousands of rows that nobody has seen would fill the browser's memory. With `settled` they are loaded at once.
  draw(settled = false) {
    if (!this.holder.offsetParent) return; // another panel is shown
    const [first, last] = this.span();
    for (const [place, row] of this.rows) {
      const kept = place >= first && place < last;
      if (!kept && !row.contains(document.activeElement)) this.drop(place);
    }
    for (let place = first; place < last; place += 1) if (!this.rows.has(place)) this.place(place, settled);
  }

  // Pictures give their memory back at once, and not when the row is collected.
  drop(place) {
    const row = this.rows.get(place);
    for (const image of row.querySelectorAll('img')) image.removeAttribute('src');
    row.remove();
    this.rows.delete(place);
    this.bare.delete(row);
  }

  place(at, settled) {
    const row = this.render(this.items[at], at);
    if (!settled) this.hold(row);
    row.style.top = `${at * this.height}px`;
    row.setAttribute('aria-posinset', at + 1);
    row.setAttribute('aria-setsize', this.items.length);
    row.tabIndex = at === this.active ? 0 : -1;
    row.addEventListener('focusin', () => this.activate(at));
    this.rows.set(at, row);
    // In the order of the list, which is the order in which the tab key and a screen reader go.
    const next = [...this.rows].filter(([place]) => place > at).sort((a, b) => a[0] - b[0])[0];
    this.holder.insertBefore(row, next ? next[1] : null);
  }

  // The pictures of a row without their addresses, until it has stood for a moment.
  hold(row) {
    for (const image of row.querySelectorAll('img')) {
      image.dataset.src = image.getAttribute('src');
      image.removeAttribute('src');
    }
    this.bare.set(row, performance.now());
    this.timer ||= setTimeout(() => this.load(), STILL);
  }

  load() {
    const now = performance.now();
    this.timer = 0;
    for (const [row, since] of this.bare) {
      if (now - since < STILL - 1) continue;
      this.bare.delete(row);
      for (const image of row.querySelectorAll('img[data-src]')) {
        image.src = image.dataset.src;
        delete image.dataset.src;
      }
    }
    const [next] = this.bare.values();
    if (next !== undefined) this.timer = setTimeout(() => this.load(), Math.max(0, next + STILL - now));
  }

  activate(at) {
    const before = this.rows.get(this.active);
    if (before) before.tabIndex = -1;
    this.active = at;
    const row = this.rows.get(at);
    if (row) row.tabIndex = 0;
  }

  // Bring a row into the window and the focus to it.
  go(at) {
    if (!this.items.length) return;
    const to = Math.max(0, Math.min(at, this.items.length - 1));
    const bar = one('.bar')?.getBoundingClientRect().height || 0;
    const top = this.holder.getBoundingClientRect().top + scrollY + to * this.height;
    if (top - bar < scrollY) scrollTo(0, top - bar - 8);
    else if (top + this.height > scrollY + innerHeight) scrollTo(0, top + this.height - innerHeight + 8);
    this.draw();
    this.activate(to);
    this.rows.get(to)?.focus({ preventScroll: true });
  }
}
