"use strict";
(() => {
  const rows = () => Array.from(document.querySelectorAll("#table tbody tr"));
  const cardOf = (row) => document.getElementById(row.dataset.card);

  // -- the table ---------------------------------------------------------------------------------------------------
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    if (a === "" || b === "") return (a === "") - (b === "");
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };

  const sortBy = (button) => {
    const column = Number(button.dataset.column);
    const heading = button.closest("th");
    const up = heading.getAttribute("aria-sort") !== "ascending";
    document.querySelectorAll("#table th").forEach((th) => th.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const keyed = rows().map((row) => [row.cells[column].dataset.key, row]);
    keyed.sort(([a], [b]) => (a === "" || b === "" ? compare(a, b) : up ? compare(a, b) : compare(b, a)));
    const body = document.querySelector("#table tbody");
    keyed.forEach(([, row]) => {
      body.append(row);
      const card = cardOf(row);
      card.parentNode.append(card);
    });
  };

  const box = document.getElementById("filter");
  const menus = Array.from(document.querySelectorAll("select.choice"));

  const filter = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = menus.filter((menu) => menu.value).map((menu) => [Number(menu.dataset.column), menu.selectedOptions[0].textContent]);
    let shown = 0;
    rows().forEach((row) => {
      const content = row.textContent.toLowerCase();
      const hit = words.every((word) => content.includes(word)) && wanted.every(([column, value]) => row.cells[column].textContent === value);
      row.hidden = cardOf(row).hidden = !hit;
      shown += hit;
    });
    document.getElementById("count").textContent = `${shown} shown`;
  };

  document.querySelectorAll("#table th button").forEach((b) => b.addEventListener("click", () => sortBy(b)));
  box.addEventListener("input", filter);
  menus.forEach((menu) => menu.addEventListener("change", filter));

  // -- the pictures ------------------------------------------------------------------------------------------------
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const FLICKER_MS = 400; // 1.25 whole cycles a second, below the 3 flashes that can harm
  const words = (x) => (x >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(2))));

  const pixelsOf = (img, width, height) => {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(img, 0, 0, width, height);
    return context.getImageData(0, 0, width, height).data;
  };

  class Card {
    constructor(element) {
      this.element = element;
      this.slider = element.querySelector(".scale");
      this.output = element.querySelector(".value");
      this.button = element.querySelector(".flicker");
      this.canvases = Array.from(element.querySelectorAll("canvas"));
      this.timer = null;
      this.showing = true;
      this.slider.addEventListener("input", () => this.draw());
      this.button.addEventListener("click", () => this.flicker());
      element.querySelector(".reset").addEventListener("click", () => { this.slider.value = 0; this.draw(); });
    }

    get scale() { return Number(this.element.dataset.scale) * 10 ** (Number(this.slider.value) / 100); }

    async load() {
      await Promise.all(this.images().map((img) => img.decode()));
      this.prepare();
    }

    images() { return Array.from(this.element.querySelectorAll("img")); }

    prepare() {
      const imgs = this.images();
      if (this.data || !imgs.every((img) => img.complete)) return;
      const { width, height } = this.element.querySelector(".pictures").dataset;
      this.width = Number(width);
      this.height = Number(height);
      this.element.querySelector(".pictures").classList.toggle("small", this.width < 150);
      const [image, ...distortions] = imgs.map((img) => pixelsOf(img, this.width, this.height));
      this.data = { image, distortions, peaks: imgs.slice(1).map((img) => Number(img.dataset.peak)) };
      this.draw();
    }

    draw() {
      if (!this.data) return;
      this.output.textContent = this.scale.toPrecision(3);
      this.slider.setAttribute("aria-valuetext", this.scale.toPrecision(3));
      this.canvases.forEach((canvas, i) => this.drawOne(canvas, i));
    }

    drawOne(canvas, i) {
      const { image, distortions, peaks } = this.data;
      const gain = this.showing ? (this.scale * peaks[i] * 255) / 127 : 0;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      const out = context.createImageData(this.width, this.height);
      let outside = 0;
      for (let p = 0; p < image.length; p += 4) {
        for (let c = p; c < p + 3; c += 1) {
          const value = image[c] + gain * (distortions[i][c] - 128);
          if (value < -0.5 || value > 255.5) outside += 1;
          out.data[c] = value; // clamps and rounds
        }
        out.data[p + 3] = 255;
      }
      context.putImageData(out, 0, 0);
      if (!this.showing) return;
      const share = (100 * outside) / (image.length * 0.75);
      const figure = canvas.closest("figure");
      figure.querySelector(".clipped").textContent = share ? `${words(share)} % of values clipped` : "nothing clipped";
      figure.nextElementSibling.querySelector(".range").textContent = `black and white = \u00b1${words(this.scale * peaks[i])}`;
    }

    flicker() {
      const on = this.button.getAttribute("aria-pressed") !== "true";
      this.button.setAttribute("aria-pressed", String(on));
      clearInterval(this.timer);
      const swap = (showing) => { this.showing = showing; this.element.dataset.showing = showing ? "distorted" : "original"; this.draw(); };
      swap(!on);
      if (on && !still.matches) this.timer = setInterval(() => swap(!this.showing), FLICKER_MS);
    }
  }

  const cards = new Map();
  document.querySelectorAll(".card").forEach((element) => { if (element.querySelector("canvas")) cards.set(element, new Card(element)); });
  const near = new IntersectionObserver((entries) => {
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => { near.unobserve(entry.target); cards.get(entry.target).load(); });
  }, { rootMargin: "600px" });
  cards.forEach((_, element) => near.observe(element));
  window.addEventListener("beforeprint", () => cards.forEach((card) => card.prepare())); // at once: paper does not wait
})();
