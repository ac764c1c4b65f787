// The picture along the spine: a curved sagittal reformat on a canvas, its cross, and what a click
// on it means. It needs no viewer, and stands before that is there. `Held` stands before this.
/* global Held */
// oxlint-disable-next-line no-unused-vars -- the script behind this uses it
class Along {
  constructor(page, shown) {
    [this.page, this.shown] = [page, shown];
    this.canvas = document.getElementById("curved");
    this.values = null; // of each layer, once they are unpacked
  }

  async load() {
    this.values = await Held.unpackAll(this.page.curved.layers);
  }

  draw() {
    if (!this.values) return;
    const [rows, columns] = this.page.grid.shape;
    Object.assign(this.canvas, { width: columns, height: rows });
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    const [low, high] = this.shown.window;
    const layers = this.shown.layers().map(([name, colours]) => [this.values[name], colours]);
    const pixels = image.data.fill(255);
    for (let at = 0; at < rows * columns; at += 1) {
      const hu = this.page.hu.lowest + this.page.hu.step * this.values.ct[at];
      const grey = (255 * (hu - low)) / (high - low);
      for (let i = 0; i < 3; i += 1) {
        let mixed = grey;
        for (const [values, colours] of layers) {
          const alpha = colours[4 * values[at] + 3] / 255;
          if (alpha) mixed = colours[4 * values[at] + i] * alpha + mixed * (1 - alpha);
        }
        pixels[4 * at + i] = mixed;
      }
    }
    context.putImageData(image, 0, 0);
  }

  // Puts the cross at a place, RAS+ mm.
  cross(mm) {
    const [d, h] = Held.through(this.page.to_grid, mm);
    const [rows, columns] = this.page.grid.shape;
    const style = (line) => document.querySelector(`.curved .${line}`).style;
    style("row").top = `${(100 * (rows - 0.5 - d)) / rows}%`;
    style("column").left = `${(100 * (columns - 0.5 - h)) / columns}%`;
  }

  // The place, RAS+ mm, at which a click was.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [rows, columns] = this.page.grid.shape;
    const row = Math.min(rows - 1, Math.floor((rows * (event.clientY - box.top)) / box.height));
    const column = Math.floor((columns * (event.clientX - box.left)) / box.width);
    const index = [rows - 1 - row, columns - 1 - column, this.page.curved.columns[row]];
    return Held.through(this.page.grid.affine, index);
  }
}
