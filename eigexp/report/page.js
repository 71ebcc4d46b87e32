"use strict";
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const byId = (id) => document.getElementById(id);
  const rows = () => all("#table tbody tr");

  // -- the table ---------------------------------------------------------------------------------------------------
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    if (a === "" || b === "") return (a === "") - (b === "");
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
  };

  const sortBy = (button) => {
    const column = Number(button.dataset.column);
    const heading = button.closest("th");
    const up = heading.getAttribute("aria-sort") !== "ascending";
    all("#table th").forEach((th) => th.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const keyed = rows().map((row) => [row.cells[column].dataset.key, row]);
    keyed.sort(([a], [b]) => (a === "" || b === "" ? compare(a, b) : up ? compare(a, b) : compare(b, a)));
    const body = document.querySelector("#table tbody");
    keyed.forEach(([, row]) => {
      body.append(row);
      const card = byId(`r-${row.dataset.id}`);
      card.parentNode.append(card);
    });
  };
  all("#table th button").forEach((b) => b.addEventListener("click", () => sortBy(b)));

  // -- filters: the table, the grid, the cards and the charts follow; the address keeps them -------------------------
  const box = byId("filter");
  const menus = all("select.choice");

  const filterGrid = (hit) => {
    const used = new Set();
    all(".grid tbody tr").forEach((row) => {
      let any = false;
      all("td", row).forEach((cell) => {
        const link = cell.querySelector(".cell");
        if (!link) return;
        link.hidden = !hit.has(link.dataset.of);
        if (!link.hidden) { any = true; used.add(cell.dataset.image); }
      });
      row.hidden = !any;
    });
    all(".grid [data-image]").forEach((cell) => { cell.hidden = !used.has(cell.dataset.image); });
  };

  const filterChart = (svg, hit) => {
    const step = Number(svg.dataset.row);
    let gone = 0;
    all(":scope > .row", svg).forEach((row) => {
      const marks = all(".mark", row);
      marks.forEach((mark) => mark.classList.toggle("away", !hit.has(mark.dataset.id)));
      const shown = marks.some((mark) => hit.has(mark.dataset.id));
      row.classList.toggle("away", !shown);
      row.classList.toggle("partly", marks.some((mark) => !hit.has(mark.dataset.id))); // its mean is of all its images
      row.setAttribute("transform", `translate(0 ${-gone * step})`);
      gone += !shown;
    });
    const axis = svg.querySelector(":scope > .axis");
    if (axis) axis.setAttribute("transform", `translate(0 ${-gone * step})`);
    const [x, y, width, height] = (svg.dataset.view ??= svg.getAttribute("viewBox")).split(" ").map(Number);
    svg.setAttribute("viewBox", `${x} ${y} ${width} ${height - gone * step}`);
    all(":scope > .grid", svg).forEach((line) => line.setAttribute("y2", Number((line.dataset.y2 ??= line.getAttribute("y2"))) - gone * step));
  };

  const filter = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = menus.filter((menu) => menu.selectedIndex > 0).map((menu) => [Number(menu.dataset.column), menu.value]);
    const hit = new Set();
    rows().forEach((row) => {
      const content = row.textContent.toLowerCase();
      const shown = words.every((word) => content.includes(word)) && wanted.every(([column, value]) => row.cells[column].textContent === value);
      row.hidden = byId(`r-${row.dataset.id}`).hidden = !shown;
      if (shown) hit.add(row.dataset.id);
    });
    filterGrid(hit);
    all("svg[data-row]").forEach((svg) => filterChart(svg, hit));
    all("[data-ids]").forEach((figure) => { figure.hidden = !figure.dataset.ids.split(" ").every((id) => hit.has(id)); });
    byId("count").textContent = `${hit.size} shown`;
  };

  const remember = () => {
    const state = new URLSearchParams();
    menus.filter((menu) => menu.selectedIndex > 0).forEach((menu) => state.set(menu.dataset.name, menu.value));
    if (box.value) state.set("text", box.value);
    if (norm.value !== "0") state.set("norm", norm.value);
    if (mode.value !== "added") state.set("show", mode.value);
    history.replaceState(null, "", `#${state}`);
  };

  const recall = () => {
    const hash = location.hash.slice(1);
    if (/^(r|g)-[0-9a-f]+$|^[a-z]+$/.test(hash)) return; // a place on the page
    const state = new URLSearchParams(hash);
    menus.forEach((menu) => {
      menu.selectedIndex = Math.max(0, Array.from(menu.options).findIndex((option, at) => at > 0 && option.value === state.get(menu.dataset.name)));
    });
    box.value = state.get("text") ?? "";
    norm.value = state.get("norm") ?? "0";
    mode.value = state.get("show") === "alone" ? "alone" : "added";
    filter();
    drawAll();
  };

  // -- the pictures ------------------------------------------------------------------------------------------------
  const norm = byId("norm");
  const mode = byId("mode");
  const button = byId("flicker");
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const FLICKER_MS = 400; // 1.25 whole cycles a second, below the 3 flashes that can harm
  const words = (x) => (x >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(2))));
  const scale = () => Number(document.body.dataset.scale) * 10 ** (Number(norm.value) / 100);
  const pixels = new WeakMap(); // by <img>

  const pixelsOf = (img) => {
    if (!pixels.has(img)) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(img, 0, 0);
      pixels.set(img, context.getImageData(0, 0, canvas.width, canvas.height).data);
    }
    return pixels.get(img);
  };

  /** One canvas with an image and a distortion: the sum at the norm, the image alone while it flickers, or the distortion. */
  class Shot {
    constructor(canvas, image, img) {
      Object.assign(this, { canvas, image, img, showing: true, drawn: false });
    }

    get ready() { return this.image.complete && this.img.complete && this.img.naturalWidth > 0; }

    draw(sum = mode.value === "added") {
      if (!this.ready) return;
      this.drawn = true;
      const [image, distortion] = [pixelsOf(this.image), pixelsOf(this.img)];
      const context = this.canvas.getContext("2d", { willReadFrequently: true });
      const out = context.createImageData(this.canvas.width, this.canvas.height);
      const peak = Number(this.img.dataset.peak);
      const gain = this.showing ? (scale() * peak * 255) / 127 : 0;
      let outside = 0;
      for (let p = 0; p < image.length; p += 4) {
        for (let c = p; c < p + 3; c += 1) {
          const value = sum || !this.showing ? image[c] + gain * (distortion[c] - 128) : distortion[c];
          if (value < -0.5 || value > 255.5) outside += 1;
          out.data[c] = value; // clamps and rounds
        }
        out.data[p + 3] = 255;
      }
      context.putImageData(out, 0, 0);
      this.canvas.dataset.showing = this.showing ? "distorted" : "original";
      this.canvas.classList.toggle("small", this.canvas.width < 150);
      if (sum && this.showing) this.say((100 * outside) / (image.length * 0.75), peak);
    }

    say(share, peak) {
      const figure = this.canvas.closest("figure");
      if (!figure) return;
      figure.querySelector(".clipped").textContent = share ? `${words(share)} % of values clipped;` : "nothing clipped;";
      figure.querySelector(".range").textContent = `alone: black and white = \u00b1${words(scale() * peak)}`;
    }
  }

  const shots = new Map(); // by canvas
  const imageOf = (number) => byId(`i-${number}`);

  all(".cell").forEach((cell) => {
    const image = imageOf(cell.parentNode.dataset.image);
    all(".shot img", cell).forEach((img) => {
      const canvas = document.createElement("canvas");
      canvas.width = img.getAttribute("width");
      canvas.height = img.getAttribute("height");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", img.alt);
      img.before(canvas);
      img.hidden = true;
      shots.set(canvas, new Shot(canvas, image, img));
    });
  });
  all(".card").forEach((card) => {
    const image = imageOf(card.dataset.image);
    all(".pair", card).forEach((pair) => {
      const canvas = pair.querySelector("canvas");
      shots.set(canvas, new Shot(canvas, image, pair.querySelector("img")));
    });
  });

  const fill = (card) => {
    const ends = all(".shot img", byId(`g-${card.id.slice(2)}`));
    all("img[data-end]", card).forEach((img) => { if (!img.src) img.src = ends[Number(img.dataset.end)].src; });
  };

  const open = (canvas) => {
    const shot = shots.get(canvas);
    const card = canvas.closest(".card");
    if (card) fill(card);
    shot.img.loading = "eager";
    return Promise.all([shot.image.decode(), shot.img.decode()]);
  };

  const load = async (canvas) => {
    await open(canvas);
    shots.get(canvas).draw(canvas.closest(".card") ? true : undefined);
  };

  const near = new IntersectionObserver((entries) => {
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => { near.unobserve(entry.target); load(entry.target); });
  }, { rootMargin: "500px" });
  shots.forEach((_, canvas) => near.observe(canvas));

  const drawAll = () => {
    byId("value").textContent = scale().toPrecision(3);
    norm.setAttribute("aria-valuetext", scale().toPrecision(3));
    shots.forEach((shot, canvas) => { if (shot.drawn) shot.draw(canvas.closest(".card") ? true : undefined); });
  };

  // -- flicker: of one picture under the pointer, or of all ---------------------------------------------------------
  const swap = (chosen, showing) => chosen.forEach((shot) => {
    shot.showing = showing;
    if (shot.drawn) shot.draw(shot.canvas.closest(".card") ? true : undefined);
  });

  const flicker = (chosen) => {
    let showing = false;
    swap(chosen(), false);
    const timer = still.matches ? null : setInterval(() => { showing = !showing; swap(chosen(), showing); }, FLICKER_MS);
    return () => { clearInterval(timer); swap(chosen(), true); };
  };

  let stop = null;
  const toggle = () => {
    button.setAttribute("aria-pressed", String(!stop));
    if (stop) { stop(); stop = null; } else stop = flicker(() => Array.from(shots.values()));
  };
  shots.forEach((shot, canvas) => {
    let leave = null;
    canvas.addEventListener("pointerenter", () => { if (!stop && shot.drawn) leave = flicker(() => [shot]); });
    canvas.addEventListener("pointerleave", () => { if (leave) leave(); leave = null; });
  });

  // -- controls ----------------------------------------------------------------------------------------------------
  box.addEventListener("input", () => { filter(); remember(); });
  menus.forEach((menu) => menu.addEventListener("change", () => { filter(); remember(); }));
  norm.addEventListener("input", drawAll);
  norm.addEventListener("change", remember);
  mode.addEventListener("change", () => { drawAll(); remember(); });
  button.addEventListener("click", toggle);
  byId("reset").addEventListener("click", () => { norm.value = 0; mode.value = "added"; if (stop) toggle(); drawAll(); remember(); });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "f" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input, select")) toggle();
  });

  const copy = async (code, done) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch { // no permission: mark it, so that the keyboard's own copy takes it
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    done.textContent = "copied";
    setTimeout(() => { done.textContent = "copy"; }, 1500);
  };
  all("code.command").forEach((code) => {
    const made = document.createElement("button");
    [made.type, made.className, made.textContent] = ["button", "copy", "copy"];
    made.setAttribute("aria-label", `copy: ${code.textContent}`);
    made.addEventListener("click", () => copy(code, made));
    code.after(made);
  });

  if (window.matchMedia("(max-width: 60rem)").matches) byId("filters").open = false;
  all(".scripted").forEach((part) => { part.hidden = false; });
  all(".still").forEach((part) => { part.hidden = true; });
  window.addEventListener("hashchange", recall);

  // -- paper: `beforeprint` cannot wait for a picture, so all are decoded once the page is idle, or before the keys print --------
  let printable = false;
  const idle = () => new Promise((done) => { (window.requestIdleCallback ?? setTimeout)(done); });
  const prepare = async (pause) => {
    for (const canvas of shots.keys()) {
      await pause?.();
      await open(canvas).catch(() => {}); // one that cannot be decoded stays empty
    }
    printable = true;
    document.body.dataset.printable = "yes";
  };
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "p" || !(event.ctrlKey || event.metaKey) || printable) return;
    event.preventDefault();
    prepare().then(() => window.print());
  });
  window.addEventListener("beforeprint", () => {
    all(".card").forEach(fill);
    shots.forEach((shot, canvas) => { if (!shot.drawn) shot.draw(canvas.closest(".card") ? true : undefined); });
  });
  window.addEventListener("load", () => prepare(idle));
  recall();
})();
