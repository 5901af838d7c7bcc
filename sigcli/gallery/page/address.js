// An address for each image: page.html#name opens its large view, and the large view sets it, so that a link can be sent.

const address = {
  timer: 0,

  of(card) { return `#${percented(card.image)}${card.rank ? `&target=${card.rank + 1}` : ''}`; },

  // The card that the address names; null where it names none, undefined where the page has none of that name.
  card() {
    const text = location.hash.slice(1);
    if (!text) return null;
    const [, name, number] = text.match(/^([^]*?)(?:&target=(\d+))?$/);
    const target = Number(number || 1) - 1;
    for (const [image, rank] of [[plain(name), target], [name, target], [plain(text), 0], [text, 0]]) { // the last are written by hand
      const found = page.cards.find((card) => card.rank === rank && card.image === image);
      if (found) return found;
    }
    return undefined;
  },

  // Browsers allow few changes in a short time, and a held key goes through many images.
  soon(card) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.set(card), 400);
  },

  set(card) {
    clearTimeout(this.timer);
    history.replaceState(history.state, '', card ? this.of(card) : location.href.replace(/#.*/s, ''));
  },
};

function plain(text) {
  try { return decodeURIComponent(text); } catch { return text; } // written by hand, with a % of its own
}

// Open what the address names, whatever is filtered.
function openAddressed() {
  const card = address.card();
  one('#lost').hidden = card !== undefined;
  if (card === undefined) one('#lost').textContent = `This page has no image “${plain(location.hash.slice(1))}”${page.going ? ' yet' : ''}.`;
  if (!card) { if (detail.dialog.open) detail.close(); return; }
  if (panel !== 'images') show('images');
  if (!list.items.includes(card)) change({ search: '', label: '', told: '', status: '', wrong: false });
  detail.open(list.items.indexOf(card));
}
