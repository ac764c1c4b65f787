// Lays map, uncertainty and truth over the CT. NiiVue colours each voxel of each layer anew whenever
// one of them changes; a threshold that follows a hand needs less: only voxels that some layer can
// show are looked at, and only the slices that hold them are sent to the graphics card.
class Layers {
  // NiiVue has loaded the volumes, 8 bits a voxel and all on the grid of the CT, and prepared the CT.
  constructor(niivue, volumes) {
    const [, columns, rows, slices] = niivue.back.dims;
    this.niivue = niivue;
    this.values = Object.fromEntries(volumes.map(([name, volume]) => [name, volume.img2RAS()]));
    this.places = this.#places(columns * rows * slices);
    const area = columns * rows;
    this.first = this.places.length ? Math.floor(this.places[0] / area) : 0;
    const last = this.places.length ? Math.floor(this.places.at(-1) / area) : 0;
    this.extent = [columns, rows, last - this.first + 1];
    this.start = this.first * area;
    this.pixels = new Uint32Array(area * this.extent[2]);
    const empty = niivue.rgbaTex(niivue.overlayTexture, niivue.gl.TEXTURE2, niivue.back.dims, true);
    Object.assign(niivue, { overlayTexture: empty, overlayTextureID: empty });
  }

  #places(count) {
    const held = new Uint8Array(count);
    for (const values of Object.values(this.values)) {
      for (let at = 0; at < count; at += 1) held[at] |= values[at];
    }
    const places = new Uint32Array(count);
    let size = 0;
    for (let at = 0; at < count; at += 1) {
      if (held[at]) {
        places[size] = at;
        size += 1;
      }
    }
    return places.slice(0, size);
  }

  // Palettes by the name of the layer, the lowest first: 256 colours of 4 bytes, for each value one.
  show(palettes) {
    const { pixels, places, start } = this;
    const bytes = new Uint8Array(pixels.buffer);
    pixels.fill(0);
    for (const [name, palette] of palettes) {
      const [values, colours] = [this.values[name], new Uint32Array(palette.buffer)];
      for (const at of places) {
        const [value, to] = [values[at], at - start];
        const opacity = palette[4 * value + 3];
        // A colour that is not shown is kept: the graphics card mixes those of neighbours.
        if (opacity === 255 || pixels[to] === 0) pixels[to] = colours[value];
        else if (opacity) this.#blend(bytes, 4 * to, palette, 4 * value);
      }
    }
    const gl = this.niivue.gl;
    gl.activeTexture(gl.TEXTURE2);
    gl.bindTexture(gl.TEXTURE_3D, this.niivue.overlayTexture);
    const [place, size] = [[0, 0, this.first], this.extent];
    gl.texSubImage3D(gl.TEXTURE_3D, 0, ...place, ...size, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  }

  // One colour over another, both of straight alpha.
  #blend(below, at, above, value) {
    const [a, b] = [above[value + 3] / 255, below[at + 3] / 255];
    const sum = a + b * (1 - a);
    for (let i = 0; i < 3; i += 1) {
      below[at + i] = (above[value + i] * a + below[at + i] * b * (1 - a)) / sum;
    }
    below[at + 3] = 255 * sum;
  }
}
