// The model's answer: bars of probability, the target and the true class marked.

function bars(told, target, truth) {
  if (!told || !told.length) return null;
  // Tables have six digits, and 1 beside a class that is possible was rounded up to it.
  const said = (share) => chance(share === 1 && told.some(([, other]) => other > 0 && other < 1) ? 1 - 1e-7 : share);
  return el('ul', { class: 'bars', 'aria-label': 'Predictions of the model' }, told.map(([name, share]) => {
    const marks = [name === target && 'explained', name === truth && 'true class'].filter(Boolean);
    return el('li', { class: name === target ? 'target' : '', title: `${name}: ${said(share)}` },
      el('span', { class: 'of' }, name, marks.length ? el('span', { class: 'unseen' }, ` (${marks.join(', ')})`) : null,
        name === truth ? el('span', { class: 'true', 'aria-hidden': 'true' }, '✓') : null),
      el('span', { class: 'rail', 'aria-hidden': 'true' }, el('span', { vars: { width: `${100 * share}%` } })),
      el('span', { class: 'much' }, said(share)));
  }));
}
