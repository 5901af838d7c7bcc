// Elements are made here and nowhere else. Text always becomes a text node, so no name or label is ever read as HTML.

function el(tag, given = {}, ...children) {
  const made = tag.startsWith('svg:')
    ? document.createElementNS('http://www.w3.org/2000/svg', tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (name === 'class') made.setAttribute('class', value);
    else if (name === 'vars') for (const [key, to] of Object.entries(value)) made.style.setProperty(key, to);
    else if (name in made && ['value', 'checked', 'selected', 'disabled', 'hidden', 'open'].includes(name)) made[name] = value;
    else made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// A path relative to the page, each part percent-encoded. It begins with ./ so that no name can be read as a scheme.
function url(base, ...parts) {
  return `./${base}${percented(parts.join('/'))}`.replace('././', './').replace('./../', '../');
}

const percented = (path) => path.split('/').map((part) => encodeURIComponent(part.toWellFormed ? part.toWellFormed() : part)).join('/');

const one = (query, within = document) => within.querySelector(query);

// Tells a screen reader what has changed.
function say(text) {
  one('#said').textContent = text;
}
