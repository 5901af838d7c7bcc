// Numbers and counts as they are read.

const DASH = '–';

function figure(value, digits = 3) {
  if (value === null || value === undefined) return DASH;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1).replace('-', '−').replace('e+', 'e');
  return Number(value.toPrecision(digits)).toLocaleString('en', { maximumFractionDigits: 6 }).replace('-', '−');
}

function percent(value, digits = 2) {
  if (value === null || value === undefined) return DASH;
  if (value !== 0 && Math.abs(value) < 0.001) return '< 0.1 %';
  return `${figure(100 * value, Math.abs(value) >= 0.995 ? 3 : digits)} %`;
}

// A probability, by the rule of the terminal and the sheets (sigcli/attribution/predictions.py): 1 is what it says.
function chance(share) {
  if (share === null || share === undefined) return DASH;
  if (share < 0.001) return '< 0.1 %';
  if (share > 0.999) return share < 1 ? '> 99.9 %' : '100 %';
  return `${rounded(100 * share, share < 0.0995 || share >= 0.995 ? 1 : 0)} %`;
}

// With so many decimals, 0 or 1; of two that are equally near the even one, as Python takes.
function rounded(value, decimals) {
  const scale = 10 ** decimals;
  const between = Number.isInteger(4 * value) && Math.abs((value * scale) % 1) === 0.5;
  return between ? (2 * Math.round(value * scale / 2) / scale).toFixed(decimals) : value.toFixed(decimals);
}

function duration(value) {
  if (value === null || value === undefined) return DASH;
  if (value < 1) return `${Math.max(1, Math.round(1000 * value))} ms`;
  if (value < 120) return `${figure(value, value < 10 ? 2 : 3)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

// For columns of numbers that are compared: as many decimals in each.
function decimal(value) {
  if (value === null || value === undefined) return DASH;
  const size = Math.abs(value);
  return size !== 0 && (size < 5e-4 || size >= 1000) ? figure(value) : value.toFixed(3).replace('-', '−');
}

const many = (count, thing) => `${count.toLocaleString('en')} ${thing}${count === 1 ? '' : 's'}`;

function ago(time) {
  const seconds = Math.max(0, (Date.now() - time) / 1000);
  if (seconds < 90) return 'just now';
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

const clock = (time) => new Date(time).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
