"use strict";

/* Uniform numbers in [0, 1), the same for one seed everywhere (mulberry32), and normal ones made of them. */
function randomNumbers(seed) {
  const uniform = () => {
    seed = seed + 0x6D2B79F5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
  return { uniform, normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()) };
}

if (typeof module !== "undefined") module.exports = { randomNumbers };
