// Interval: five differences, one a seed, are moved by hand. Below them stand their mean
// and its 95% interval; how many questions were asked decides what it says.

(() => {
  const stn = globalThis.stn;

  /** How probable it is that |t| is larger, for 1, 2 or 4 degrees of freedom. */
  stn.beyond = (t, degrees) => {
    if (degrees === 1) return (2 / Math.PI) * Math.atan2(1, Math.abs(t));
    const root = Math.sqrt(degrees + t * t);
    const sine = Math.abs(t) / root;
    if (degrees === 2) return (1 - sine * sine) / (1 + sine);
    // 1 - (3 sine - sine³) / 2, without what cancels where the sine is near 1
    return ((1 - sine) ** 2 * (2 + sine)) / 2;
  };

  /** The t that is exceeded, on either side, with a probability. */
  stn.quantile = (probability, degrees) => {
    let [low, high] = [0, 1e4];
    for (let k = 0; k < 80; k++) {
      const middle = (low + high) / 2;
      if (stn.beyond(middle, degrees) > probability) low = middle;
      else high = middle;
    }
    return low;
  };

  stn.figures.interval = (root, model, data) => {
    const { reach, found } = data;
    const rows = data.seeds.at(-1);
    const last = rows + 0.2; // where the interval stands
    const differences = () => model.get("differences");
    const used = () => differences().slice(0, model.get("seeds"));

    const told = () => {
      const each = used();
      const n = each.length;
      const mean = each.reduce((sum, d) => sum + d, 0) / n;
      const squares = each.reduce((sum, d) => sum + (d - mean) ** 2, 0);
      const error = Math.sqrt(squares / (n - 1) / n); // the standard error of the mean
      const half = stn.quantile(0.05, n - 1) * error;
      // Equal differences leave no doubt, nor do zeros.
      const p = error > 0 ? stn.beyond(mean / error, n - 1) : mean === 0 ? 1 : 0;
      return { mean, half, p, corrected: Math.min(1, model.get("questions") * p) };
    };

    const edge = 1.05 * reach; // a handle at the end of its reach is whole
    const axes = stn.axes([-edge, last + 0.7, edge, -0.6], {
      x: "difference of the errors (percentage points): left, coordinates help",
      y: "seed",
      xTicks: [-1, -0.5, 0, 0.5, 1],
      yTicks: Array.from({ length: rows }, (_, k) => k),
      ratio: 1.8,
      digits: 0,
      xDigits: 1,
    });
    axes.path("stn-interval-zero", `M0 -0.6V${last + 0.7}`);
    const bar = axes.path("stn-interval-bar");
    const mean = axes.path("stn-interval-mean");
    axes.text("mean", -edge, last, "stn-tick-y");

    const limited = (value) =>
      Math.round(100 * Math.min(Math.max(value, -reach), reach)) / 100;
    const handles = Array.from({ length: rows }, (_, k) =>
      stn.handle(axes, `seed ${k}`, {
        get: () => [differences()[k], k],
        move: (x) =>
          model.set({
            differences: differences().map((d, j) => (j === k ? limited(x) : d)),
          }),
        step: 0.1,
        say: (x) => `${stn.number(x)} points`,
        style: "stn-interval-seed",
      }),
    );

    const draw = () => {
      const { mean: middle, half } = told();
      const ends = [-1, 1].map((sign) => middle + sign * half);
      const [low, high] = ends.map((end) => Math.min(Math.max(end, -edge), edge));
      const cap = (x, end) => (x === end ? `M${x} ${last - 0.2}v0.4` : "");
      bar.setAttribute(
        "d",
        `M${low} ${last}H${high}${cap(low, ends[0])}${cap(high, ends[1])}`,
      );
      mean.setAttribute("d", stn.dots([[middle, last]]));
      handles.forEach(({ element }, k) =>
        element.classList.toggle("stn-interval-unused", k >= model.get("seeds")),
      );
    };

    const same = (each) => String(each) === String(differences());
    const chosen = stn.choice(
      "Measured",
      found.map(([name]) => [name, name]),
      {
        get: () => found.find(([, each]) => same(each))?.[0],
        set: (wanted) =>
          model.set({ differences: [...found.find(([name]) => name === wanted)[1]] }),
      },
    );
    const seeds = stn.choice(
      "Seeds",
      data.seeds.map((n) => [n, String(n)]),
      { get: () => model.get("seeds"), set: (n) => model.set({ seeds: n }) },
    );
    const questions = stn.slider("questions asked", {
      min: 1,
      max: data.questions,
      step: 1,
      get: () => model.get("questions"),
      set: (value) => model.set({ questions: value }),
    });

    const percent = (p) =>
      p < 0.0001 ? "below 0.01%" : `${stn.number(100 * p, p < 0.1 ? 2 : 0)}%`;
    const signed = (value) => `${value > 0 ? "+" : ""}${stn.number(value)}`;
    stn.compose(root, model, {
      body: [stn.panels(axes)],
      controls: [chosen, seeds, questions],
      handles,
      draw,
      code: () =>
        `Difference((${used()
          .map((d) => stn.plain(d))
          .join(", ")}))`,
      status: () => {
        const { mean: middle, half, p, corrected } = told();
        const [low, high] = [-1, 1].map((sign) => signed(middle + sign * half));
        const verdict = (chance) =>
          chance >= 0.05 ? "undecided" : middle < 0 ? "helps" : "hurts";
        const many = model.get("questions");
        const after =
          many === 1
            ? ""
            : ` As the smallest p of ${many} questions: ${percent(corrected)}, ` +
              `${verdict(corrected)}.`;
        return (
          `Mean ${signed(middle)} points, 95% interval ${low} to ${high}, ` +
          `p = ${percent(p)}: ${verdict(p)}.${after}`
        );
      },
    });
  };
})();
