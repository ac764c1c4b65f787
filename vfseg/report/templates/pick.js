// Picks points in the three planes of a CT, and names them. NiiVue and `Held` stand before this.
/* global Niivue, Held */
{
  const page = Held.content("case");
  const element = (id) => document.getElementById(id);
  const NEAR_MM = 10; // less than half of what lies between the middles of two bodies
  const DRAGGED = 4; // pixels

  let points = []; // {mm}, RAS+, from the top down
  let anchor = null; // {point, name}: the one that was named

  const planes = Held.keyless(new Niivue({ ...Held.VIEW, ...Held.PLANES }));

  const nameOf = (at) => {
    if (!anchor) return "";
    return page.names[page.names.indexOf(anchor.name) + at - points.indexOf(anchor.point)] ?? "";
  };
  const say = (key, number) =>
    page.words[key][document.documentElement.lang].replace("{number}", number);
  const distance = (a, b) => Math.hypot(...a.map((x, i) => x - b[i]));

  const drawMarks = () => {
    const [volume, [, h, w]] = [planes.volumes[1], page.shape];
    volume.img.fill(0);
    const reach = page.spacing.map((mm) => Math.ceil(page.mark_mm / mm));
    for (const { mm } of points) {
      const centre = Held.through(page.from_mm, mm);
      const from = centre.map((x, i) => Math.max(0, Math.round(x) - reach[i]));
      const to = centre.map((x, i) => Math.min(page.shape[i] - 1, Math.round(x) + reach[i]));
      for (let k = from[2]; k <= to[2]; k += 1)
        for (let j = from[1]; j <= to[1]; j += 1)
          for (let i = from[0]; i <= to[0]; i += 1) {
            const away = [i, j, k].map((x, axis) => (x - centre[axis]) * page.spacing[axis]);
            if (Math.hypot(...away) <= page.mark_mm) volume.img[k + w * (j + h * i)] = 1;
          }
    }
    planes.refreshLayers(volume, 1);
    planes.drawScene();
  };

  const goTo = (mm) => {
    planes.scene.crosshairPos = planes.mm2frac(mm, 0, true);
    planes.drawScene();
  };

  const listPoint = (point, at) => {
    const item = document.createElement("li");
    const go = document.createElement("button");
    Object.assign(go, { type: "button", className: "go" });
    go.textContent = `${at + 1}. z ${point.mm[2].toFixed(0)} mm`;
    go.addEventListener("click", () => goTo(point.mm));
    const name = document.createElement("select");
    name.setAttribute("aria-label", say("pick_name", at + 1));
    for (const choice of ["", ...page.names]) name.add(new Option(choice || say("pick_choose"), choice));
    name.value = nameOf(at);
    name.addEventListener("change", () => {
      anchor = name.value ? { point, name: name.value } : null;
      show();
    });
    const remove = document.createElement("button");
    Object.assign(remove, { type: "button", className: "remove", textContent: "✕" });
    remove.setAttribute("aria-label", say("pick_remove", at + 1));
    remove.addEventListener("click", () => {
      points = points.filter((other) => other !== point);
      if (anchor?.point === point) anchor = null;
      show();
    });
    item.append(go, name, remove);
    return item;
  };

  const show = () => {
    points.sort((a, b) => b.mm[2] - a.mm[2]);
    drawMarks();
    list();
  };
  const list = () => {
    element("points").replaceChildren(...points.map(listPoint));
    const beyond = anchor && points.some((_, at) => !nameOf(at));
    const lacking = !points.length ? "pick_none" : !anchor ? "pick_name_one" : beyond && "pick_beyond";
    element("said").textContent = lacking ? say(lacking) : "";
    element("download").disabled = Boolean(lacking);
  };

  const add = () => {
    const mm = [...planes.frac2mm(planes.scene.crosshairPos, 0, true)].slice(0, 3);
    const known = points.find((point) => distance(point.mm, mm) < NEAR_MM);
    if (known) known.mm = mm;
    else points.push({ mm });
    show();
  };

  const download = () => {
    const rows = points.map(({ mm }, at) => [nameOf(at), ...mm.map((x) => x.toFixed(2))].join(","));
    const text = `${["level,x,y,z", ...rows].join("\n")}\n`;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = page.file;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  const listen = () => {
    let begun = [0, 0];
    const canvas = element("planes");
    const place = (event) => [event.clientX, event.clientY];
    canvas.addEventListener("pointerdown", (event) => (begun = place(event)), { capture: true });
    canvas.addEventListener("click", (event) => {
      if (distance(begun, place(event)) < DRAGGED) add();
    });
    element("add").addEventListener("click", add);
    element("download").addEventListener("click", download);
    element("language").addEventListener("click", list); // behind the listener that switches it
  };

  const start = async () => {
    try {
      await planes.attachToCanvas(element("planes"));
      for (const name of ["ct", "marks"])
        await planes.loadFromArrayBuffer(await Held.unpack(page.volumes[name]), `${name}.nii`);
      const [ct, marks] = planes.volumes;
      Object.assign(ct, { colormap: "gray", cal_min: page.window[0], cal_max: page.window[1] });
      marks.setColormapLabel({ R: [0, 255], G: [0, 60], B: [0, 40], A: [0, 255], I: [0, 1] });
      planes.updateGLVolume();
      listen();
      show();
      document.body.dataset.ready = "yes";
    } catch (error) {
      element("no-webgl").hidden = false;
      console.warn(error);
    }
  };
  window.viewers = { planes };
  start();
}
