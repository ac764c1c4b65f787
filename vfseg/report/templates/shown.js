// What all views of a page show alike: one threshold, one window, and the layers over the CT in
// their colours.
// oxlint-disable-next-line no-unused-vars -- the script behind this uses it
class Shown {
  static #NONE = [0, 0, 0, 0];

  constructor(page) {
    this.page = page;
    this.step = page.thresholds.indexOf(page.threshold);
    this.window = page.window;
  }

  static isOn(id) {
    return document.getElementById(id)?.checked ?? false;
  }

  // Name and palette of each layer that lies over the CT, the lowest first: 256 colours of 4 bytes.
  // Those that it does not show have no opacity.
  layers() {
    const { colours, truth_colour: truth, uncertainty_colours: viridis } = this.page;
    const shown = [];
    if (Shown.isOn("heat")) {
      const heat = (p) => (this.#isHeat(p) ? colours[p] : [...colours[p].slice(0, 3), 0]);
      shown.push(["probability", Shown.#palette(heat)]);
    }
    if (Shown.isOn("uncertainty")) {
      // From a tenth of the highest on.
      const colour = (u) => (u > 25 ? viridis[Math.round((u - 25.5) / 0.9)] : Shown.#NONE);
      shown.push(["uncertainty", Shown.#palette(colour)]);
    }
    if (Shown.isOn("truth")) {
      shown.push(["truth", Shown.#palette((t) => (t ? [...truth, 255] : Shown.#NONE))]);
    }
    return shown;
  }

  // Whether the map shows a value, in 255ths: volumes count the map itself, which is finer.
  #isHeat(p) {
    return p > 0 && p >= 255 * this.page.thresholds[this.step] - 0.5;
  }

  static #palette(colourOf) {
    return Uint8Array.from(Array.from({ length: 256 }, (_, value) => colourOf(value)).flat());
  }
}
