// The views of NiiVue: the planes, and the view in 3D. They follow the controls, and the picture
// along the spine follows them. NiiVue, `Held`, `Shown`, `controls` and `Layers` stand before this.
/* global Niivue, Held, Shown, controls, Layers */
{
  const { page, shown } = controls;
  const { volumes, surfaces } = Held.content("volumes");
  const element = (id) => document.getElementById(id);
  const CLOSE_MM = 80; // from side to side: a vertebra and its neighbours
  let over = null;
  let solidThere = false;

  const planes = Held.keyless(new Niivue({ ...Held.VIEW, ...Held.PLANES }));
  const solid = Held.keyless(new Niivue({ ...Held.VIEW, ...Held.SOLID }));
  // Of the looks that NiiVue has for meshes it makes only the first ready, the one that is used.
  for (const viewer of [planes, solid]) viewer.meshShaders.splice(1);

  // NiiVue draws a picture at every step of loading; here it draws none until all is there. Without
  // a graphics card one picture costs as much as several moves of the slider, which wait for it.
  const quietly = async (viewer, steps, load) => {
    for (const step of steps) viewer[step] = () => {};
    try {
      await load();
    } finally {
      for (const step of steps) delete viewer[step];
    }
  };

  const loadPlanes = async () => {
    const unpacking = Held.unpackAll(volumes); // while the graphics card is made ready
    await planes.attachToCanvas(element("planes"));
    const { ct, ...others } = await unpacking;
    // NiiVue gets the CT alone, and prepares no layers.
    const load = () => planes.loadFromArrayBuffer(ct.buffer, "ct.nii");
    await quietly(planes, ["updateGLVolume", "drawScene"], load);
    over = new Layers(planes, others);
    planes.onLocationChange = (location) =>
      placed([...location.mm].slice(0, 3), location.values[0].value);
  };

  const loadSolid = async () => {
    await solid.attachToCanvas(element("solid"));
    const looks = {
      bone: { rgba255: [255, 244, 220, 255], opacity: 0.6 },
      "predicted fracture": { rgba255: [230, 20, 15, 255], opacity: 1 },
    };
    const parts = Object.entries(await Held.unpackAll(surfaces));
    await quietly(solid, ["drawScene"], async () => {
      for (const [name, { buffer }] of parts) {
        const url = `${name}.ply`; // a name, since the content is here
        await solid.addMeshFromUrl({ url, name: url, buffer, ...looks[name] });
      }
      solid.setRenderAzimuthElevation(250, 10);
    });
    solidThere = parts.length > 0;
  };

  // The CT costs most to colour, and seldom changes.
  const drawPlanes = (ctToo) => {
    if (ctToo) over.showCT(shown.window.map((hu) => (hu - page.hu.lowest) / page.hu.step));
    over.show(shown.layers());
    planes.drawScene();
  };

  const finished = (gl) =>
    new Promise((resolve) => {
      const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
      gl.flush();
      const look = () => {
        // A browser that has stopped the graphics gives no fence.
        if (fence && gl.clientWaitSync(fence, 0, 0) === gl.TIMEOUT_EXPIRED) setTimeout(look, 5);
        else resolve();
      };
      look();
    });

  // As fast as the browser can, always to where the controls stand by then.
  let [busy, again, ctWaits] = [false, false, false];
  const draw = async (ctToo) => {
    ctWaits ||= ctToo;
    again = true;
    if (busy) return;
    busy = true;
    document.body.dataset.ready = "no";
    while (again) {
      again = false;
      drawPlanes(ctWaits);
      ctWaits = false;
      await finished(planes.gl);
    }
    busy = false;
    document.body.dataset.ready = "yes";
  };

  // Shows a place, RAS+ mm, in the views that did not choose it.
  const placed = (mm, hu) => {
    controls.along.cross(mm);
    if (solidThere) {
      solid.scene.crosshairPos = solid.mm2frac(mm);
      solid.drawScene();
    }
    const voxel = Held.through(page.from_mm, mm).map(Math.round).join(", ");
    const [d, h, w] = Held.through(page.to_grid, mm);
    const p = over.at("probability", [w, h, d]) / 255;
    element("place").textContent = `i, j, k ${voxel} · ${Math.round(hu)} HU · p ${p.toFixed(2)}`;
  };
  // Puts the cross into the middle of the planes, and these close to it.
  const bringClose = () => {
    const [, tall, wide] = page.grid.shape.map(
      (count, axis) => count * Math.hypot(...page.grid.affine.slice(0, 3).map((row) => row[axis])),
    );
    const zoom = Shown.isOn("close") ? Math.max(1, Math.min(tall, wide) / CLOSE_MM) : 1;
    const place = planes.frac2mm(planes.scene.crosshairPos);
    const middle = planes.frac2mm([0.5, 0.5, 0.5]);
    const pan = [0, 1, 2].map((axis) => (zoom > 1 ? middle[axis] - zoom * place[axis] : 0));
    planes.setPan2Dxyzmm([...pan, zoom]);
  };
  const goTo = (mm) => {
    planes.scene.crosshairPos = planes.mm2frac(mm, 0, true);
    bringClose();
    planes.createOnLocationChange();
  };

  const listen = () => {
    // Left on the screen is the patient's right, as radiologists hang pictures.
    const steps = {
      ArrowLeft: [1, 0, 0],
      ArrowRight: [-1, 0, 0],
      ArrowUp: [0, 0, 1],
      ArrowDown: [0, 0, -1],
      PageUp: [0, 1, 0],
      PageDown: [0, -1, 0],
    };
    const turns = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] };
    const onKeys = (canvas, moves, act) =>
      canvas.addEventListener("keydown", (event) => {
        if (!moves[event.key]) return;
        event.preventDefault();
        act(moves[event.key]);
      });
    onKeys(element("planes"), steps, (by) => {
      if (!controls.planes) return;
      planes.moveCrosshairInVox(...by);
      bringClose();
      planes.createOnLocationChange();
    });
    onKeys(element("solid"), turns, ([round, up]) => {
      if (!solidThere) return;
      const { renderAzimuth, renderElevation } = solid.scene;
      solid.setRenderAzimuthElevation(renderAzimuth + round, renderElevation + up);
    });
  };

  // Says that a browser does not start a view, or has stopped it, and shows the pictures.
  const giveUp = (what, why) => {
    element(what).hidden = false;
    element("pictures")?.setAttribute("open", "");
    document.body.classList.add(what);
    console.warn(why);
  };
  const onLost = (id, act) => element(id).addEventListener("webglcontextlost", act);
  onLost("planes", (event) => {
    controls.planes = null;
    giveUp("no-webgl", event);
  });
  onLost("solid", (event) => {
    solidThere = false;
    giveUp("no-solid", event);
  });

  const start = async () => {
    try {
      await controls.ready;
      await Held.seen(); // the graphics card, if it is the processor, does one thing at a time
      await loadPlanes();
      controls.planes = { draw, goTo, bringClose };
      listen();
      await draw(true);
      goTo(controls.place);
      await Held.seen(); // before the next is prepared
    } catch (error) {
      giveUp("no-webgl", error);
      return;
    }
    try {
      await loadSolid();
      planes.createOnLocationChange(); // puts the cross into it
      await Promise.all([planes, solid].map(({ gl }) => finished(gl)));
      document.body.dataset.solid = "yes"; // from now on nothing waits for what is still drawn
    } catch (error) {
      giveUp("no-solid", error);
    }
  };
  window.viewers = { planes, solid };
  start();
}
