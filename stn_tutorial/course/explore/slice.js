// The slice: a plane that is rotated and moved through a volume, and what it shows. Below,
// what its three numbers rotate about, which are one axis less where three angles lock.

(() => {
  const stn = globalThis.stn;
  const { space } = stn;
  const REACH = 1.7; // of the view, in half sides of the volume
  const POLE = 1.35; // the plane slides along it, through the volume's middle
  const [SIDE, BODY] = [48, 110]; // pixels of the slice, and of the body's picture
  const FURTHEST = 0.9; // of the plane from the middle
  const RADIANS = Math.PI / 180;
  // From above and from the right: what is behind appears higher, and farther left.
  const CAMERA = space.times(
    space.exponential([0.42, 0, 0]),
    space.exponential([0, -0.5, 0]),
  );
  const NAMES = {
    angles: ["roll, about x", "pitch, about y", "yaw, about z"],
    vector: ["ω along x", "ω along y", "ω along z"],
  };
  const SHORT = { angles: ["roll", "pitch", "yaw"], vector: ["x", "y", "z"] };
  const AXES = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];

  /** Where the camera sees a point: right, down, and how far behind. */
  const seen = (point) => space.apply(CAMERA, point);
  const scaled = (factor, point) => point.map((value) => factor * value);
  const sum = (p, q) => p.map((value, k) => value + q[k]);
  const listed = (values) => values.map((value) => stn.number(value)).join(", ");

  const CUBE = AXES.flatMap((axis, k) => {
    const [one, other] = [AXES[(k + 1) % 3], AXES[(k + 2) % 3]];
    return [-1, 1].flatMap((s) =>
      [-1, 1].map((t) => {
        const edge = sum(scaled(s, one), scaled(t, other));
        return stn.path([sum(edge, scaled(-1, axis)), sum(edge, axis)].map(seen));
      }),
    );
  }).join("");

  /** The rotation of three numbers in degrees, and back. */
  const rotationOf = (kind, numbers) => {
    const radians = scaled(RADIANS, numbers);
    return kind === "angles" ? space.fromAngles(radians) : space.exponential(radians);
  };
  const { wrapped } = stn;
  const numbersOf = (kind, rotation, before) => {
    const inDegrees = (radians) => radians.map((value) => wrapped(value / RADIANS));
    const tenths = (degrees) => degrees.map((value) => Math.round(10 * value) / 10);
    if (kind === "vector") return tenths(inDegrees(space.toVector(rotation)));
    // Two triples make each rotation: the one that is nearer to the numbers before.
    const [roll, pitch, yaw] = inDegrees(space.toAngles(rotation, before[0] * RADIANS));
    const triples = [
      [roll, pitch, yaw],
      [roll + 180, 180 - pitch, yaw + 180].map(wrapped),
    ];
    const [here, there] = triples.map((triple) =>
      Math.hypot(...triple.map((value, k) => wrapped(value - before[k]))),
    );
    return tenths(triples[there < here ? 1 : 0]);
  };

  /**
   * What a small change of each number rotates about, as long as the rotation is for it:
   * columns of the Jacobian in the volume's frame.
   */
  const axesOf = (kind, numbers) => {
    const radians = scaled(RADIANS, numbers);
    if (kind === "angles") {
      const yaw = space.exponential([0, 0, radians[2]]);
      const pitched = space.times(yaw, space.exponential([0, radians[1], 0]));
      return [space.column(pitched, 0), space.column(yaw, 1), AXES[2]];
    }
    const angle = Math.hypot(...radians);
    const [second, third] =
      angle > 1e-3
        ? [(1 - Math.cos(angle)) / angle ** 2, (angle - Math.sin(angle)) / angle ** 3]
        : [0.5, 1 / 6];
    return AXES.map((axis) => {
      const once = space.cross(radians, axis);
      const twice = space.cross(radians, once);
      return axis.map((value, k) => value + second * once[k] + third * twice[k]);
    });
  };

  /** Singular values of the matrix's nine entries by the three numbers, largest first. */
  const singularOf = (kind, numbers) => {
    const root = Math.SQRT2;
    if (kind === "angles") {
      const common = Math.abs(Math.sin(numbers[1] * RADIANS));
      return [root * Math.sqrt(1 + common), root, root * Math.sqrt(1 - common)];
    }
    const half = (Math.hypot(...numbers) * RADIANS) / 2;
    const across = half ? Math.abs(Math.sin(half) / half) : 1;
    return [root, root * across, root * across];
  };

  stn.figures.slice = (root, model, data) => {
    const volume = stn.unpackVolume(data.volume, data.depth);
    const kind = () => model.get("rotation");
    const rotation = () => rotationOf(kind(), model.get("numbers"));
    const normal = () => space.column(rotation(), 2);
    const middle = () => scaled(model.get("offset"), normal());
    const theta = () => {
      const [m, shift] = [rotation(), middle()];
      return [0, 1, 2].flatMap((row) => [...m.slice(3 * row, 3 * row + 3), shift[row]]);
    };
    const rotate = (m) =>
      model.set({ numbers: numbersOf(kind(), m, model.get("numbers")) });
    const slide = (offset) => {
      const within = Math.min(Math.max(offset, -FURTHEST), FURTHEST);
      model.set({ offset: Math.round(1000 * within) / 1000 });
    };

    const view = stn.panel([-REACH, -REACH, REACH, REACH], "the volume, and the plane");
    view.element.classList.add("stn-slice-view");
    const bodyCanvas = view.canvas();
    const planeCanvas = view.canvas();
    for (const canvas of [bodyCanvas, planeCanvas]) canvas.classList.add("stn-smooth");
    [planeCanvas.width, planeCanvas.height] = [4 * BODY, 4 * BODY];
    view.path("stn-slice-cube", CUBE);
    const outline = view.path("stn-frame");
    const upper = view.path("stn-frame stn-thick");
    const pole = view.path("stn-slice-pole");

    const output = stn.panel([-1, -1, 1, 1], "what the plane shows");
    const out = output.canvas();
    out.classList.add("stn-out");
    const gimbal = stn.panel([-1.5, -1.5, 1.5, 1.5], "axes of the three numbers");
    gimbal.path("stn-rule", CUBE);
    const needles = ["stn-first", "stn-second", "stn-third"].map((style) => ({
      line: gimbal.path(style),
      name: gimbal.text("", 0, 0, `stn-slice-name ${style}`),
    }));

    let side = -1; // on which the pole is, before the middle or behind; kept in a drag
    const handles = [
      stn.handle(view, "pole of the plane, tilts it", {
        get: () => seen(scaled(POLE, normal())).slice(0, 2),
        grab: () => {
          const behind = seen(normal())[2];
          if (Math.abs(behind) > 0.02) side = Math.sign(behind); // else at its rim
        },
        move: (x, y) => {
          const from = seen(normal());
          const far = Math.max(Math.hypot(x, y) / POLE, 1);
          const [right, down] = [x / POLE / far, y / POLE / far];
          const behind = Math.sqrt(Math.max(1 - right ** 2 - down ** 2, 0));
          const to = [right, down, side * behind];
          const turned = space.times(space.between(from, to), CAMERA);
          rotate(space.times(space.transposed(CAMERA), space.times(turned, rotation())));
        },
        style: "stn-third",
      }),
      stn.handle(view, "right edge of the plane, rotates it about its pole", {
        get: () => seen(sum(middle(), space.column(rotation(), 0))).slice(0, 2),
        move: (x, y) => {
          const m = rotation();
          const [centre, u, v] = [middle(), space.column(m, 0), space.column(m, 1)].map(
            seen,
          );
          const [p, q] = [x - centre[0], y - centre[1]];
          const area = u[0] * v[1] - u[1] * v[0];
          if (Math.abs(area) < 0.02) return; // seen from its edge
          const right = (p * v[1] - q * v[0]) / area;
          const down = (u[0] * q - u[1] * p) / area;
          rotate(space.times(m, space.exponential([0, 0, Math.atan2(down, right)])));
        },
        style: "stn-first",
      }),
      stn.handle(view, "middle of the plane, moves it along its pole", {
        get: () => seen(middle()).slice(0, 2),
        move: (x, y) => {
          const [[right, down], [left, top]] = [seen(normal()), seen(middle())];
          const along = right * (x - left) + down * (y - top);
          const length = Math.max(right ** 2 + down ** 2, 0.02); // it may face the eye
          slide(model.get("offset") + along / length);
        },
        say: () => `${stn.number(model.get("offset"))} along it`,
        style: "stn-fourth",
      }),
    ];

    const panels = stn.panels(view, output, gimbal);
    panels.classList.add("stn-slice-panels");

    const voxels = [];
    volume.voxels.forEach((value, k) => {
      if (value < 0.15) return;
      const { width, height, depth } = volume;
      const layer = Math.floor(k / (width * height));
      const row = Math.floor(k / width) % height;
      const point = [
        stn.toNormalized(k % width, width, false),
        stn.toNormalized(row, height, false),
        stn.toNormalized(layer, depth, false),
      ];
      const [right, down, behind] = seen(point);
      const column = Math.round((BODY * (right + REACH)) / (2 * REACH) - 1);
      const line = Math.round((BODY * (down + REACH)) / (2 * REACH) - 1);
      const light = value * (0.85 - 0.4 * behind); // what is farther is darker
      voxels.push({ point, light, first: line * BODY + column });
    });
    voxels.sort((p, q) => p.light - q.light); // so that the brightest lie on top
    const body = { width: BODY, height: BODY, pixels: new Float32Array(BODY * BODY) };

    /** The body: what lies before the plane, as the camera sees it, is hardly seen. */
    const paintBody = () => {
      const [away, offset] = [normal(), model.get("offset")];
      const side = seen(away)[2] < 0 ? -1 : 1;
      body.pixels.fill(0);
      for (const { point, light, first } of voxels) {
        const before = side * (space.dot(point, away) - offset) < 0;
        const shown = before ? 0.22 * light : light;
        for (let row = 0; row < 3; row++) {
          for (let k = first + row * BODY; k < first + row * BODY + 3; k++) {
            if (body.pixels[k] < shown) body.pixels[k] = shown;
          }
        }
      }
      stn.paint(bodyCanvas, body);
    };

    const layer = stn.element("canvas");
    const flat = stn.baseGrid3d([1, SIDE, SIDE]);
    const whole = stn.baseGrid3d([volume.depth, SIDE, SIDE]);
    const paintSlice = () => {
      const pixels = stn.warpVolume(volume, theta(), flat);
      const picture = { width: SIDE, height: SIDE, pixels };
      stn.paint(layer, picture, (v) => [255 * v, 255 * v, 255 * v, 90 + 165 * v]);
      const context = planeCanvas.getContext("2d");
      const unit = planeCanvas.width / (2 * REACH); // pixels for half a side
      const m = rotation();
      const [u, v, c] = [space.column(m, 0), space.column(m, 1), middle()].map(seen);
      const step = (2 * unit) / SIDE;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, planeCanvas.width, planeCanvas.height);
      context.setTransform(
        ...[step * u[0], step * u[1], step * v[0], step * v[1]],
        ...[0, 1].map((k) => unit * (REACH + c[k] - u[k] - v[k])),
      );
      context.drawImage(layer, 0, 0);
      if (model.get("shown") === "layer") return stn.paint(out, picture);
      // All layers parallel to the plane, a base grid of the volume's own depth.
      const still = theta().map((value, k) => (k % 4 === 3 ? 0 : value));
      const read = stn.warpVolume(volume, still, whole);
      const total = new Float32Array(SIDE * SIDE);
      read.forEach((value, k) => (total[k % total.length] += value));
      const share = data.thickness;
      stn.paint(out, { ...picture, pixels: total.map((value) => value / share) });
    };

    const cells = Array.from({ length: 12 }, (_, k) =>
      stn.element("td", {
        class: ["stn-first", "stn-second", "stn-third", "stn-fourth"][k % 4],
      }),
    );
    const rows = [0, 4, 8].map((k) => stn.element("tr", {}, ...cells.slice(k, k + 4)));
    const table = stn.element("table", { class: "stn-slice-theta" }, ...rows);

    const draw = () => {
      const m = rotation();
      const [u, v] = [space.column(m, 0), space.column(m, 1)];
      const corner = (s, t) => seen(sum(middle(), sum(scaled(s, u), scaled(t, v))));
      const corners = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
      outline.setAttribute("d", stn.path(corners, true));
      upper.setAttribute("d", stn.path(corners.slice(0, 2)));
      const end = scaled(POLE, normal());
      pole.setAttribute("d", stn.path([scaled(-1, end), end].map(seen)));
      paintBody();
      paintSlice();
      const ends = [];
      axesOf(kind(), model.get("numbers")).forEach((axis, k) => {
        const [right, down] = seen(axis);
        needles[k].line.setAttribute(
          "d",
          stn.path([
            [-right, -down],
            [right, down],
          ]),
        );
        const x = 1.25 * right;
        let y = 1.25 * down;
        while (ends.some((end) => Math.hypot(end[0] - x, end[1] - y) < 0.3)) y += 0.3;
        ends.push([x, y]);
        needles[k].name.textContent = SHORT[kind()][k];
        gimbal.put(needles[k].name, x, y);
      });
      theta().forEach((value, k) => (cells[k].textContent = stn.number(value)));
      sliders.forEach(({ element }, k) => {
        element.firstChild.textContent = NAMES[kind()][k];
        element.querySelector("input").setAttribute("aria-label", NAMES[kind()][k]);
      });
    };

    const sliders = [0, 1, 2].map((k) =>
      stn.slider(NAMES.angles[k], {
        min: -180,
        max: 180,
        step: 1,
        get: () => model.get("numbers")[k],
        set: (value) =>
          model.set({
            numbers: model.get("numbers").map((old, n) => (n === k ? value : old)),
          }),
        say: (value) => `${stn.number(value, 0)}°`,
      }),
    );
    const offset = stn.slider("along the pole", {
      min: -FURTHEST,
      max: FURTHEST,
      step: 0.01,
      get: () => model.get("offset"),
      set: slide,
      say: (value) => stn.number(value),
    });
    const how = stn.choice(
      "Rotate by",
      [
        ["angles", "three angles"],
        ["vector", "a rotation vector"],
      ],
      {
        get: kind,
        set: (wanted) =>
          model.set({
            rotation: wanted,
            numbers: numbersOf(wanted, rotation(), [0, 0, 0]),
          }),
      },
    );
    const what = stn.choice(
      "Show",
      [
        ["layer", "one layer"],
        ["sum", "the sum of all"],
      ],
      { get: () => model.get("shown"), set: (shown) => model.set({ shown }) },
    );
    const row = (style, ...parts) =>
      stn.element(
        "div",
        { class: `stn-controls ${style}` },
        ...parts.map((part) => part.element),
      );

    stn.compose(root, model, {
      body: [
        panels,
        row("", how, what),
        row("stn-slice-sliders", ...sliders, offset),
        stn.element(
          "p",
          { class: "stn-caption" },
          "theta, from output to input coordinates: where the plane's right, its lower " +
            "edge and its pole point, and where its middle is",
        ),
        table,
      ],
      handles: [...handles, ...sliders, offset, how, what],
      draw,
      code: () => {
        const lines = [0, 4, 8].map((k) => {
          const values = theta().slice(k, k + 4);
          return `[${values.map((value) => stn.plain(value, 3)).join(", ")}]`;
        });
        return `theta = torch.tensor([${lines.join(", ")}])`;
      },
      status: () => {
        const numbers = model.get("numbers");
        const values = listed(singularOf(kind(), numbers));
        const parts = [];
        if (kind() === "angles") {
          const apart = Math.acos(Math.abs(Math.sin(numbers[1] * RADIANS))) / RADIANS;
          parts.push(`Roll and yaw rotate about axes ${stn.number(apart, 0)}° apart`);
        } else {
          const angle = Math.hypot(...numbers);
          parts.push(`The rotation is by ${stn.number(angle, 0)}° about one axis`);
        }
        parts.push(`singular values of the matrix by the three numbers: ${values}.`);
        if (!data.axis) return parts.join("; ");
        const cosine = Math.min(Math.max(space.dot(normal(), data.axis), -1), 1);
        const tilt = stn.number(Math.acos(cosine) / RADIANS, 0);
        return `${parts.join("; ")} The tilt is ${tilt}°.`;
      },
    });
  };
})();
