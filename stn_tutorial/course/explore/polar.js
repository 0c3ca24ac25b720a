// Polar: a digit that is rotated and scaled by hand, beside its log-polar picture, in which
// a rotation moves columns and a scale moves rows, as long as the origin is in its middle.

(() => {
  const stn = globalThis.stn;
  const [RINGS, DIRECTIONS] = [24, 32];
  const [INNER, OUTER] = [0.05, 1];
  const GROWTH = (OUTER / INNER) ** (1 / (RINGS - 1));
  const [SMALLEST, LARGEST] = [0.5, 1.6];
  const ARM = 0.75; // of the handle that rotates, at a scale of 1
  const RADIANS = Math.PI / 180;
  const VIEW = [-1.25, -1.25, 1.25, 1.25];
  const POLAR = [-0.5, -0.5, DIRECTIONS - 0.5, RINGS - 0.5];

  const radius = (ring) => INNER * GROWTH ** ring;
  const direction = (column) => (2 * Math.PI * column) / DIRECTIONS;

  stn.figures.polar = (root, model, data) => {
    const image = stn.unpack(data.image);
    const size = [image.height, image.width];
    const [angle, scale] = ["angle", "scale"].map((name) => () => model.get(name));
    const origin = () => model.get("origin");

    const posed = (degrees, factor) => {
      const [cosine, sine] = [Math.cos, Math.sin].map((f) => f(degrees * RADIANS));
      const theta = [cosine, sine, 0, -sine, cosine, 0].map((value) => value / factor);
      return stn.sample(image, stn.grid(stn.affine, theta, size), size);
    };
    const polar = (picture, [x, y]) => {
      const grid = [];
      for (let ring = 0; ring < RINGS; ring++) {
        for (let column = 0; column < DIRECTIONS; column++) {
          const [r, a] = [radius(ring), direction(column)];
          grid.push(x + r * Math.cos(a), y + r * Math.sin(a));
        }
      }
      return stn.sample(picture, grid, [RINGS, DIRECTIONS]);
    };
    /** A polar picture, read so many columns and rows farther on. */
    const shifted = ({ pixels }, columns, rows) => {
      const width = 3 * DIRECTIONS; // columns come round
      const wide = { width, height: RINGS, pixels: new Float32Array(width * RINGS) };
      for (let k = 0; k < wide.pixels.length; k++) {
        const [row, column] = [Math.floor(k / width), k % DIRECTIONS];
        wide.pixels[k] = pixels[row * DIRECTIONS + column];
      }
      const grid = [];
      for (let row = 0; row < RINGS; row++) {
        for (let column = 0; column < DIRECTIONS; column++) {
          const x = column + DIRECTIONS + columns;
          grid.push(stn.toNormalized(x, width, false));
          grid.push(stn.toNormalized(row + rows, RINGS, false));
        }
      }
      return stn.sample(wide, grid, [RINGS, DIRECTIONS]);
    };
    const columns = () => (angle() * DIRECTIONS) / 360;
    const rows = () => Math.log(scale()) / Math.log(GROWTH);

    const upright = polar(posed(0, 1), [0, 0]);
    const norm = (values) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
    const change = ({ pixels }) =>
      norm(pixels.map((value, k) => value - upright.pixels[k])) / norm(upright.pixels);

    const input = stn.panel(VIEW, "the digit, and the rings");
    const canvas = input.canvas(-1, -1, 1, 1);
    const circles = input.path("stn-polar-rings");
    const outputs = ["the polar picture", "shifted back"].map((words) => {
      const panel = stn.panel(POLAR, words);
      const picture = panel.canvas();
      picture.classList.add("stn-out");
      return { panel, picture, line: panel.path("stn-polar-up") };
    });

    const handles = [
      stn.handle(input, "arm of the digit, rotates and scales it", {
        get: () => {
          const [along, a] = [ARM * scale(), angle() * RADIANS];
          return [along * Math.sin(a), -along * Math.cos(a)];
        },
        move: (x, y) => {
          const factor = Math.hypot(x, y) / ARM;
          if (factor < 0.05) return;
          const within = Math.min(Math.max(factor, SMALLEST), LARGEST);
          model.set({
            angle: Math.round((10 * Math.atan2(x, -y)) / RADIANS) / 10,
            scale: Math.round(100 * within) / 100,
          });
        },
        say: () => `${stn.number(angle(), 0)}°, scale ${stn.number(scale())}`,
        style: "stn-third",
      }),
      stn.handle(input, "origin of the polar picture", {
        get: origin,
        move: (x, y) =>
          model.set({
            origin: [x, y].map((v) =>
              Math.min(Math.max(Math.round(100 * v) / 100, -1), 1),
            ),
          }),
        style: "stn-first",
      }),
    ];
    const sliders = [
      stn.slider("angle", {
        min: -180,
        max: 180,
        step: 1,
        get: angle,
        set: (degrees) => model.set({ angle: degrees }),
        say: (degrees) => `${stn.number(degrees, 0)}°`,
      }),
      stn.slider("scale", {
        min: SMALLEST,
        max: LARGEST,
        step: 0.05,
        get: scale,
        set: (factor) => model.set({ scale: factor }),
        say: (factor) => stn.number(factor),
      }),
    ];
    const panels = stn.panels(input, ...outputs.map(({ panel }) => panel));
    panels.classList.add("stn-polar-panels");

    let seen = null; // the change of the polar picture, and of it shifted back
    const draw = () => {
      const picture = posed(angle(), scale());
      stn.paint(canvas, picture);
      const [x, y] = origin();
      const circle = (r) =>
        `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
      const every = [2, 8, 14, 20, RINGS - 1].map((ring) => circle(radius(ring)));
      circles.setAttribute("d", `${every.join("")}M${x} ${y}h${OUTER}`);
      const now = polar(picture, origin());
      const back = shifted(now, columns(), rows());
      const up = (0.75 * DIRECTIONS + columns() + DIRECTIONS) % DIRECTIONS;
      [now, back].forEach((shown, k) => {
        stn.paint(outputs[k].picture, shown);
        const at = k ? 0.75 * DIRECTIONS : up;
        outputs[k].line.setAttribute("d", `M${at} ${POLAR[1]}V${POLAR[3]}`);
      });
      seen = [now, back].map(change);
    };

    stn.compose(root, model, {
      body: [panels],
      controls: sliders,
      handles,
      draw,
      code: () => {
        const pair = origin().map((value) => stn.plain(value));
        return `log_polar(torch.tensor([[${pair.join(", ")}]]), ${RINGS}, ${DIRECTIONS})`;
      },
      status: () => {
        const [moved, left] = seen.map((value) => stn.number(100 * value, 0));
        const off = Math.hypot(...origin());
        const words = off
          ? `, though the origin is ${stn.number(off)} off the digit's middle`
          : "";
        return (
          `${stn.number(angle(), 0)}° are ${stn.number(columns(), 1)} columns, and a ` +
          `scale of ${stn.number(scale())} is ${stn.number(rows(), 1)} rows. Against the ` +
          `upright digit the polar picture has changed by ${moved}%; shifted back, by ` +
          `${left}%${words}.`
        );
      },
    });
  };
})();
