// Colours the CT, and what lies over it: map, uncertainty and truth. NiiVue lets the graphics card
// colour each voxel of each layer anew whenever one of them changes, which is slow where there is no
// card. A threshold that follows a hand needs less: only voxels that some layer can show are looked
// at, and only the slices that hold them are sent to the card.
// oxlint-disable-next-line no-unused-vars -- the script behind this uses it
class Layers {
  // NiiVue has loaded the CT. The volumes, by name, are bytes on its grid and in its order.
  constructor(niivue, volumes) {
    niivue.overlays = Object.keys(volumes); // of which it asks only how many there are
    // It makes the texture of the CT, and draws nothing into it.
    niivue.gl.drawArrays = () => {};
    niivue.refreshLayers(niivue.volumes[0], 0);
    delete niivue.gl.drawArrays;
    const [, columns, rows, slices] = niivue.back.dims;
    this.niivue = niivue;
    this.whole = [columns, rows, slices];
    this.volumes = volumes;
    const turned = (img) => Object.create(niivue.volumes[0], { img: { value: img } }).img2RAS();
    this.values = Object.fromEntries(Object.entries(volumes).map(([k, img]) => [k, turned(img)]));
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

  // The value of a layer in the voxel nearest to a place, counted in voxels of the CT's own axes.
  at(name, place) {
    const dims = this.niivue.volumes[0].hdr.dims.slice(1, 4);
    const [i, j, k] = place.map((x, axis) => Math.min(Math.max(Math.round(x), 0), dims[axis] - 1));
    return this.volumes[name][i + dims[0] * (j + dims[1] * k)];
  }

  // The CT in grey: black below a window, white above it, both in codes.
  showCT([low, high]) {
    const greys = Uint32Array.from({ length: 256 }, (_, code) => {
      const grey = Math.round((255 * (code - low)) / (high - low));
      return 0xff000000 + 0x010101 * Math.min(Math.max(grey, 0), 255);
    });
    const codes = this.niivue.volumes[0].img2RAS();
    const pixels = new Uint32Array(codes.length);
    for (let at = 0; at < codes.length; at += 1) pixels[at] = greys[codes[at]];
    const gl = this.niivue.gl;
    this.#send(gl.TEXTURE0, this.niivue.volumeTexture, 0, this.whole, pixels);
  }

  #send(unit, texture, first, size, pixels) {
    const gl = this.niivue.gl;
    const bytes = new Uint8Array(pixels.buffer);
    gl.activeTexture(unit);
    gl.bindTexture(gl.TEXTURE_3D, texture);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, first, ...size, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
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
    this.#send(gl.TEXTURE2, this.niivue.overlayTexture, this.first, this.extent, pixels);
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
