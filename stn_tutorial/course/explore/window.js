// The window: a frame on the input is what the output shows. Its handles are the columns
// of theta, and its numbers move the frame. Needs sampling.js, families.js, figure.js.

(() => {
  const stn = globalThis.stn;
  const REACH = 1.5; // the panel shows half an image's width around the image
  const OUT = [64, 64];
  const IDENTITY = [1, 0, 0, 0, 1, 0];

  /** Where theta takes a point of the output. */
  const through = (theta, x, y) => stn.affine.at(theta, x, y);

  stn.figures.window = (root, model, data) => {
    const image = stn.unpack(data.image);
    const el = stn.element;

    // The input, with the frame over it.
    const picture = el("canvas", { class: "stn-picture" });
    stn.paint(picture, image);
    const top = el("path", { class: "stn-frame stn-frame-top" });
    const frame = el("path", { class: "stn-frame" });
    const dots = el("path", { class: "stn-dots" });
    const box = `${-REACH} ${-REACH} ${2 * REACH} ${2 * REACH}`;
    const drawing = el("svg", { viewBox: box, "aria-hidden": "true" }, frame, top, dots);
    const input = el("div", { class: "stn-panel stn-input" }, picture, drawing);

    // The output, and the numbers.
    const out = el("canvas", { class: "stn-picture stn-out" });
    const output = el("div", { class: "stn-panel stn-out-panel" }, out);
    const columns = ["stn-first", "stn-second", "stn-third"]; // a colour for each
    const fields = [..."abcdef"].map((letter, k) => {
      const field = el("input", { type: "number", step: "0.05", class: columns[k % 3] });
      field.setAttribute("aria-label", `theta, ${letter}`);
      return field;
    });
    const numbers = el("div", { class: "stn-numbers" }, ...fields);
    const code = el("code");
    const status = el("output", { class: "stn-status", "aria-live": "polite" });
    const lines = el("input", { type: "checkbox" });
    const reset = el("button", { type: "button" }, "Reset");
    const controls = el(
      "div",
      { class: "stn-controls" },
      reset,
      el("label", {}, lines, " sampling grid"),
    );
    root.append(
      el(
        "div",
        { class: "stn-panels" },
        el("div", {}, el("p", {}, "input, and the frame that is sampled"), input),
        el("div", {}, el("p", {}, "output"), output),
      ),
      el("p", { class: "stn-label" }, "theta, from output to input coordinates"),
      numbers,
      controls,
      el("pre", {}, code),
      status,
    );

    const theta = () => model.get("theta");
    const column = (k) => [theta()[k], theta()[k + 3]];
    const withColumn = (k, [x, y]) => {
      const changed = [...theta()];
      changed[k] = x;
      changed[k + 3] = y;
      model.set({ theta: changed });
    };
    const away = (x, y) => [x - theta()[2], y - theta()[5]]; // from the middle

    const handles = [
      stn.handle(input, REACH, "corner of the frame, rotates and scales it", {
        get: () => through(theta(), 1, 1),
        move: (x, y) => {
          const [a, b, c, d, e, f] = theta();
          const [u, v] = away(...through(theta(), 1, 1));
          const [p, q] = away(x, y);
          const length = u * u + v * v;
          if (length < 1e-4 || p * p + q * q < 1e-4) return;
          const cos = (u * p + v * q) / length;
          const sin = (u * q - v * p) / length;
          const turned = [cos * a - sin * d, cos * b - sin * e, c];
          model.set({ theta: [...turned, sin * a + cos * d, sin * b + cos * e, f] });
        },
      }),
      stn.handle(input, REACH, "right edge of the frame, first column of theta", {
        get: () => through(theta(), 1, 0),
        move: (x, y) => withColumn(0, away(x, y)),
      }),
      stn.handle(input, REACH, "lower edge of the frame, second column of theta", {
        get: () => through(theta(), 0, 1),
        move: (x, y) => withColumn(1, away(x, y)),
      }),
      stn.handle(input, REACH, "middle of the frame, third column of theta", {
        get: () => column(2),
        move: (x, y) => withColumn(2, [x, y]),
      }),
    ];

    [1, 2, 3].forEach((k) => handles[k].element.classList.add(columns[k - 1]));

    const path = (points, close) =>
      points.map(([x, y], k) => `${k ? "L" : "M"}${x.toFixed(4)} ${y.toFixed(4)}`).join("") +
      (close ? "Z" : "");
    const corners = [
      [-1, -1],
      [1, -1],
      [1, 1],
      [-1, 1],
    ];
    const ticks = [-7, -5, -3, -1, 1, 3, 5, 7].map((k) => k / 8);

    const draw = () => {
      const seen = corners.map(([x, y]) => through(theta(), x, y));
      frame.setAttribute("d", path(seen, true));
      top.setAttribute("d", path(seen.slice(0, 2), false));
      const points = ticks.flatMap((y) => ticks.map((x) => through(theta(), x, y)));
      const shown = model.get("grid") ? points : [];
      dots.setAttribute("d", shown.map(([x, y]) => `M${x} ${y}h0`).join(""));
      lines.checked = model.get("grid");
      stn.paint(out, stn.sample(image, stn.grid(stn.affine, theta(), OUT), OUT));
      fields.forEach((field, k) => {
        if (field !== document.activeElement) field.value = theta()[k].toFixed(2);
      });
      const [first, second] = [theta().slice(0, 3), theta().slice(3)].map((row) =>
        row.map((value) => (Math.abs(value) < 0.005 ? 0 : value).toFixed(2)).join(", "),
      );
      code.textContent = `theta = torch.tensor([[${first}], [${second}]])`;
      const [a, b, , d, e] = theta();
      const area = Math.abs(a * e - b * d);
      const side = a * e - b * d < 0 ? ", mirrored" : "";
      status.textContent =
        `The frame covers ${stn.number(area)} of the image's area${side}: the output ` +
        (area > 1.05 ? "shrinks" : area < 0.95 ? "enlarges" : "keeps the size of") +
        " what is seen.";
      handles.forEach((handle) => handle.update());
    };

    fields.forEach((field, k) =>
      field.addEventListener("input", () => {
        if (field.value === "" || !Number.isFinite(Number(field.value))) return;
        const changed = [...theta()];
        changed[k] = Number(field.value);
        model.set({ theta: changed });
      }),
    );
    lines.addEventListener("change", () => model.set({ grid: lines.checked }));
    const restart = () => model.set({ theta: [...IDENTITY] });
    reset.addEventListener("click", restart);
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") restart();
    });
    model.onChange(draw);
    draw();
  };
})();
