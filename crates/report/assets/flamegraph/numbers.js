// How sure a total is, and how it is written.

// Two-sided 95 % of a Poisson count of equal samples with the same relative variance, by Wilson and
// Hilferty's approximation, beside the bytes that are certain: as crates/profile/src/estimate.rs has it.
// `mean` is the mean distance of samples, 0 where every event was recorded.
function interval({ bytes, variance, certain }, mean) {
  const unseen = bytes + 3.688879 * mean;
  const sampled = bytes - certain;
  if (!(variance > 0) || !(sampled > 0)) return [bytes, unseen];
  const z = 1.959964;
  const unit = variance / sampled;
  const n = sampled / unit;
  const low = n * (1 - 1 / (9 * n) - z / (3 * Math.sqrt(n))) ** 3;
  const m = n + 1;
  const high = m * (1 - 1 / (9 * m) + z / (3 * Math.sqrt(m))) ** 3;
  return [certain + Math.max(0, low) * unit, Math.max(certain + high * unit, unseen)];
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (unit + 1 < units.length && bytes >= 999.5) { bytes /= 1000; unit += 1; }
  return `${unit === 0 || bytes >= 99.95 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

function percent(part, whole) {
  if (!(whole > 0)) return "0 %";
  const share = 100 * part / whole;
  return share > 0 && share < 0.1 ? "< 0.1 %" : `${share.toFixed(1)} %`;
}

function between(sums, mean) {
  if (mean === 0 && !(sums.variance > 0)) return "exact";
  const [low, high] = interval(sums, mean);
  return `95 % between ${size(low)} and ${size(high)}`;
}

function seconds(at) {
  return at < 100 ? `${at.toFixed(at < 10 ? 2 : 1)} s` : `${Math.floor(at / 60)} min ${Math.round(at % 60)} s`;
}
