// Luck: two networks of known true errors are tested on the same digits, set after set.
// Which one wins, and what does McNemar's test say of it?

(() => {
  const stn = globalThis.stn;
  const [LOW, HIGH] = [0, 2.4]; // of the axis, in percent
  const BINS = { 1000: 24, 10000: 96, 100000: 96 }; // none finer than a digit
  const SHARES = [0, 0.2, 0.4]; // of the test sets, on the axis
  const DIGITS = [1000, 10000, 100000];
  const NETWORKS = [
    ["A", "stn-third"],
    ["B", "stn-first"],
  ];

  /** Random numbers from 0 to 1, the same ones for a seed. */
  const randomFrom = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };

  /** How many of n trials hit, each with a small probability: from hit to hit. */
  const binomial = (n, probability, random) => {
    if (probability <= 0) return 0;
    const miss = Math.log1p(-probability);
    let [count, at] = [0, 0];
    for (;;) {
      at += Math.floor(Math.log1p(-random()) / miss) + 1;
      if (at > n) return count;
      count += 1;
    }
  };

  /** McNemar's exact test: twice the smaller tail of b + c tosses of a coin. */
  stn.mcnemar = (b, c) => {
    const all = b + c;
    let term = -all * Math.LN2; // the logarithm of the chance of k heads
    let tail = 0;
    for (let k = 0; k <= Math.min(b, c); k++) {
      tail += Math.exp(term);
      term += Math.log((all - k) / (k + 1));
    }
    return Math.min(1, 2 * tail);
  };

  stn.figures.luck = (root, model, data) => {
    const get = (name) => () => model.get(name);
    const [first, second, shared, digits] = ["first", "second", "shared", "digits"].map(
      get,
    );

    /** All test sets: mistakes of both, and of either network alone, and q. */
    const drawn = () => {
      const [one, other] = [first() / 100, second() / 100];
      const both = shared() * Math.min(one, other);
      const random = randomFrom(1);
      return Array.from({ length: data.sets }, () => {
        const [m, b, c] = [both, one - both, other - both].map((probability) =>
          binomial(digits(), probability, random),
        );
        return { m, b, c, q: stn.mcnemar(b, c) };
      });
    };
    let [sets, drawnFor] = [[], null];
    const errorsOf = ({ m, b, c }) =>
      [m + b, m + c].map((wrong) => (100 * wrong) / digits());

    const axes = stn.axes([LOW, SHARES.at(-1) + 0.03, HIGH, 0], {
      x: "test error (%)",
      y: "share of the test sets",
      xTicks: [0, 0.5, 1, 1.5, 2],
      yTicks: SHARES,
      ratio: 1.9,
      digits: 1,
    });
    const heaps = NETWORKS.map(([, style]) => axes.path(`stn-luck-heap ${style}`));
    const marks = NETWORKS.map(([, style]) => axes.path(`stn-luck-mark ${style}`));
    const bars = stn.element("div", { class: "stn-luck-bars" });
    const parts = [
      ["A alone", "b", "stn-third"],
      ["B alone", "c", "stn-first"],
      ["both", "m", "stn-luck-both"],
    ].map(([words, name, style]) => {
      const bar = stn.element("div", { class: `stn-luck-bar ${style}` });
      const count = stn.element("span", { class: "stn-value" });
      bars.append(stn.element("span", {}, words), stn.element("div", {}, bar), count);
      return { name, bar, count };
    });
    const told = stn.element("p", { class: "stn-luck-q" });
    const side = stn.element(
      "div",
      {},
      stn.element("p", { class: "stn-caption" }, "misclassified in this test set by"),
      bars,
      told,
    );

    const draw = () => {
      const key = [first(), second(), shared(), digits()].join(" ");
      if (key !== drawnFor) [sets, drawnFor] = [drawn(), key];
      const now = sets[model.get("test_set")];
      const bins = BINS[digits()];
      const width = (HIGH - LOW) / bins;
      NETWORKS.forEach((_, k) => {
        const counts = new Array(bins).fill(0);
        for (const each of sets) {
          const bin = Math.floor((errorsOf(each)[k] - LOW) / width + 1e-9);
          if (bin < bins) counts[bin] += 1 / sets.length;
        }
        const outline = counts.flatMap((share, bin) => [
          [LOW + bin * width, Math.min(share, SHARES.at(-1))],
          [LOW + (bin + 1) * width, Math.min(share, SHARES.at(-1))],
        ]);
        heaps[k].setAttribute("d", stn.path([[LOW, 0], ...outline, [HIGH, 0]], true));
        const at = errorsOf(now)[k];
        marks[k].setAttribute("d", `M${at} 0V${SHARES.at(-1)}`);
      });
      const most = Math.max(now.m, now.b, now.c, 1);
      for (const { name, bar, count } of parts) {
        bar.style.width = `${(100 * now[name]) / most}%`;
        count.textContent = String(now[name]);
      }
      const q = now.q < 0.0005 ? "below 0.0005" : stn.number(now.q, 3);
      told.textContent = `b : c = ${now.b} : ${now.c}, q = ${q}`;
    };

    const slider = (words, name) =>
      stn.slider(words, {
        min: 0.1,
        max: 2,
        step: 0.05,
        get: get(name),
        set: (value) => model.set({ [name]: value }),
        say: (value) => `${stn.number(value)}%`,
      });
    const sliders = [
      slider("true error of A", "first"),
      slider("true error of B", "second"),
      stn.slider("shared mistakes", {
        min: 0,
        max: 1,
        step: 0.05,
        get: shared,
        set: (value) => model.set({ shared: value }),
        say: (value) => `${stn.number(100 * value, 0)}%`,
      }),
    ];
    const count = stn.choice(
      "Test digits",
      DIGITS.map((n) => [n, n.toLocaleString("en")]),
      { get: digits, set: (wanted) => model.set({ digits: wanted }) },
    );
    const another = stn.button("Another test set", () =>
      model.set({ test_set: (model.get("test_set") + 1) % data.sets }),
    );
    const group = stn.element(
      "div",
      { class: "stn-controls" },
      ...sliders.map(({ element }) => element),
    );

    stn.compose(root, model, {
      body: [stn.panels(axes, { element: side }), group],
      controls: [count, another],
      handles: sliders,
      draw,
      code: () => {
        const { m, b, c } = sets[model.get("test_set")];
        return `mcnemar(range(${m + b}), range(${b}, ${b + m + c}))  # b, c, q`;
      },
      status: () => {
        const better = first() < second() ? "A" : "B";
        const share = (test) => {
          const all = sets.filter(test).length / sets.length;
          return `${stn.number(100 * all, 0)}%`;
        };
        const ahead = share(({ b, c }) => (better === "A" ? b < c : c < b));
        const found = share(({ q }) => q < 0.05);
        return first() === second()
          ? `The two are equally good. Of ${sets.length} test sets, q is below 5% in ${found}.`
          : `${better} is better. Of ${sets.length} test sets it is ahead in ${ahead}, ` +
              `and q is below 5% in ${found}.`;
      },
    });
  };
})();
