// The model's answer: bars of probability, the target and the true class marked.

function bars(told, target, truth) {
  if (!told || !told.length) return null;
  return el('ul', { class: 'bars', 'aria-label': 'Predictions of the model' }, told.map(([name, share]) => {
    const marks = [name === target && 'explained', name === truth && 'true class'].filter(Boolean);
    return el('li', { class: name === target ? 'target' : '', title: `${name}: ${chance(share, 3)}` },
      el('span', { class: 'of' }, name, marks.length ? el('span', { class: 'unseen' }, ` (${marks.join(', ')})`) : null,
        name === truth ? el('span', { class: 'true', 'aria-hidden': 'true' }, '✓') : null),
      el('span', { class: 'rail', 'aria-hidden': 'true' }, el('span', { vars: { width: `${100 * share}%` } })),
      el('span', { class: 'much' }, chance(share)));
  }));
}
