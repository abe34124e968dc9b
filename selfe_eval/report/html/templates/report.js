// The gallery of a report. Reads the data of this page and nothing else; what it shows is set as text, never as markup.
"use strict";
(() => {
  const byId = (name) => document.getElementById(name);
  const data = JSON.parse(byId("data").textContent);
  const base64 = byId("pictures").textContent;
  const NOTHING = -1;
  const INKS = ["#ff5fa2", "#4da3ff", "#ffb04d", "#3ddbb4", "#c58bff", "#ffe14d"];
  const WEAK = "#b8b8b8";

  const textAt = (place) => (place === NOTHING ? "" : data.texts[place]);
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const atSteps = (count) => plural(count, "step");

  // ---- What an image is -------------------------------------------------------------------------------------

  const VERDICTS = new Map([
    [1, { name: "right", sign: "✓" }],
    [0, { name: "wrong", sign: "✗" }],
    [NOTHING, { name: "no verdict", sign: "?" }],
  ]);

  const imageOf = (raw) => ({
    picture: raw[0] === NOTHING ? null : data.pictures[raw[0]],
    verdict: raw[1],
    reason: textAt(raw[2]),
    fault: textAt(raw[3]),
    marks: raw.slice(4).map(([name, x0, y0, x1, y1, score, color, counts]) => ({
      name: textAt(name), x0, y0, x1, y1, score, color: textAt(color), counts: counts === 1,
    })),
  });

  const rawAt = (prompt, run, steps, index) => {
    const place = data.runs[run].steps.indexOf(steps);
    return prompt.runs[run]?.[place]?.[index];
  };
  const verdictAt = (prompt, run, steps, index) => rawAt(prompt, run, steps, index)?.[1] ?? NOTHING;
  const numImages = (prompt, run) => Math.max(0, ...(prompt.runs[run] ?? []).map((images) => images.length));
  const sourceOf = ([start, end]) => `data:image/webp;base64,${base64.slice(start, end)}`;

  // ---- Filters ----------------------------------------------------------------------------------------------

  const form = byId("filters");
  const NAMES = ["q", "task", "show", "seen", "steps", "differs"];

  const fieldValue = (name) => {
    const field = form.elements.namedItem(name);
    if (!field) return "";
    return field.type === "checkbox" ? (field.checked ? field.value : "") : field.value.trim();
  };
  const setField = (name, value) => {
    const field = form.elements.namedItem(name);
    if (!field) return;
    if (field.type === "checkbox") field.checked = value === field.value;
    else if (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value)) field.value = value;
    else field.value = "";
  };

  // Whether one image of a prompt, followed over step counts, is what was asked for.
  const isAskedFor = (show, prompt, run, index) => {
    if (!show) return true;
    const [kind, first, second] = show.split("-");
    const before = verdictAt(prompt, run, Number(first), index);
    if (kind === "right") return before === 1;
    if (kind === "wrong") return before === 0;
    const after = verdictAt(prompt, run, Number(second), index);
    return kind === "lost" ? before === 1 && after === 0 : before === 0 && after === 1;
  };

  const numAskedFor = (show, prompt) => data.runs.reduce((sum, _, run) => {
    const indices = [...Array(numImages(prompt, run)).keys()];
    return sum + indices.filter((index) => isAskedFor(show, prompt, run, index)).length;
  }, 0);

  const differs = (prompt, chosen) => {
    const counts = chosen ? [Number(chosen)] : [...new Set(data.runs.flatMap((run) => run.steps))];
    return counts.some((steps) => {
      const indices = [...Array(Math.max(...data.runs.map((_, run) => numImages(prompt, run)))).keys()];
      return indices.some((index) => {
        const found = data.runs.map((_, run) => rawAt(prompt, run, steps, index)).filter((raw) => raw && raw[1] !== NOTHING);
        return new Set(found.map((raw) => raw[1])).size > 1;
      });
    });
  };

  const isShown = (prompt, asked) => {
    const words = asked.q.toLowerCase().split(/\s+/).filter(Boolean);
    return words.every((word) => prompt.text.toLowerCase().includes(word))
      && (!asked.task || prompt.task === asked.task)
      && (!asked.seen || prompt.unseen === (asked.seen === "unseen" ? 1 : 0))
      && (!asked.differs || differs(prompt, asked.steps))
      && (!asked.show || numAskedFor(asked.show, prompt) > 0);
  };

  // ---- The list of prompts ----------------------------------------------------------------------------------

  const promptOf = new WeakMap();
  let asked = {};

  const filler = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      filler.unobserve(entry.target);
      fill(entry.target);
    }
  }, { rootMargin: "600px 0px" });

  const thumb = (prompt, run, steps, index) => {
    const raw = rawAt(prompt, run, steps, index);
    if (!raw) return "";
    const image = imageOf(raw);
    const verdict = VERDICTS.get(image.verdict);
    const what = `${atSteps(steps)}, image ${index}: ${verdict.name}`;
    const button = element("button", { type: "button", className: `thumb ${verdict.name.replace(" ", "-")}` });
    button.setAttribute("aria-label", `${prompt.text}, ${what}${image.fault ? `; ${image.fault}` : ""}`);
    if (image.picture) {
      const [, , width, height] = image.picture;
      button.classList.toggle("pixels", Math.max(width, height) <= 128);
      button.append(element("img", { src: sourceOf(image.picture), alt: "", decoding: "async" }));
    } else if (image.fault) {
      button.append(element("span", { className: "fault", textContent: image.fault }));
    }
    button.append(element("span", { className: "sign", textContent: verdict.sign, ariaHidden: "true" }));
    button.addEventListener("click", () => openViewer({ prompt, run, steps, index }));
    return button;
  };

  // A table of one prompt; columns are pairs of a run and a step count.
  const grid = (prompt, caption, columns, headings) => {
    const rows = Math.max(...columns.map(([run]) => numImages(prompt, run)));
    const head = element("tr", {}, element("td"), ...headings.map((textContent) => element("th", { scope: "col", textContent })));
    const body = [...Array(rows).keys()].map((index) => element("tr", {},
      element("th", { scope: "row", textContent: `#${index}`, title: `image ${index}: the same noise along this row` }),
      ...columns.map(([run, steps]) => element("td", {}, thumb(prompt, run, steps, index)))));
    const table = element("table", {}, element("caption", { textContent: caption }),
      element("thead", {}, head), element("tbody", {}, ...body));
    return element("div", { className: "scroll" }, table);
  };

  const fill = (article) => {
    const prompt = promptOf.get(article);
    const present = data.runs.map((_, run) => run).filter((run) => prompt.runs[run]);
    const grids = element("div", { className: "grids" });
    if (asked.steps) {
      const steps = Number(asked.steps);
      const columns = present.filter((run) => data.runs[run].steps.includes(steps)).map((run) => [run, steps]);
      if (columns.length) {
        grids.append(grid(prompt, `at ${atSteps(steps)}`, columns, columns.map(([run]) => data.runs[run].name)));
      }
    } else {
      for (const run of present) {
        const columns = data.runs[run].steps.map((steps) => [run, steps]);
        grids.append(grid(prompt, data.runs.length > 1 ? data.runs[run].name : "steps", columns, columns.map(([, steps]) => String(steps))));
      }
    }
    article.querySelector(".grids").replaceWith(grids);
  };

  const articleOf = (prompt) => {
    const seen = prompt.unseen === 1 ? ", combination held out of training" : "";
    const article = element("article", {},
      element("h3", { textContent: prompt.text }),
      element("p", { className: "note", textContent: `${prompt.task}, prompt ${prompt.id}${seen}` }),
      element("div", { className: "grids" }));
    // Room for the pictures before they are there, so that nothing jumps when one scrolls.
    const rows = Math.max(...data.runs.map((_, run) => numImages(prompt, run)));
    article.lastChild.style.minHeight = `${5.4 * rows + 3.5}rem`;
    promptOf.set(article, prompt);
    filler.observe(article);
    return article;
  };

  const show = () => {
    asked = Object.fromEntries(NAMES.map((name) => [name, fieldValue(name)]));
    const shown = data.prompts.filter((prompt) => isShown(prompt, asked));
    filler.disconnect();
    byId("prompts").replaceChildren(...shown.map(articleOf));
    const images = asked.show ? shown.reduce((sum, prompt) => sum + numAskedFor(asked.show, prompt), 0) : 0;
    const detail = asked.show ? ` with ${plural(images, "such image")}` : "";
    byId("shown").textContent = `${shown.length} of ${plural(data.prompts.length, "prompt")}${detail}`;
  };

  // ---- One picture, large -----------------------------------------------------------------------------------

  const viewer = byId("viewer");
  let current = null;

  const drawMarks = (image) => {
    const [width, height] = sizeOf(image);
    byId("stage").style.aspectRatio = `${width} / ${height}`;
    const factor = byId("stage").clientWidth / width; // labels are as large as the page's text at any width
    const boxes = byId("boxes");
    boxes.setAttribute("viewBox", `0 0 ${width * factor} ${height * factor}`);
    byId("stage").classList.toggle("pixels", Math.max(width, height) <= 128);
    const classes = [...new Set(image.marks.filter((mark) => mark.counts).map((mark) => mark.name))];
    const drawn = image.marks.map((mark) => {
      const group = byId("mark").content.querySelector("g").cloneNode(true);
      const [box, label] = group.children;
      const ink = mark.counts ? INKS[classes.indexOf(mark.name) % INKS.length] : WEAK;
      const place = { x: mark.x0, y: mark.y0, width: Math.max(0, mark.x1 - mark.x0), height: Math.max(0, mark.y1 - mark.y0) };
      for (const [name, value] of Object.entries(place)) box.setAttribute(name, String(value * factor));
      box.setAttribute("stroke", ink);
      label.textContent = [mark.name, mark.score.toFixed(2), mark.color].filter(Boolean).join(" ");
      label.setAttribute("x", String(Math.max(2, mark.x0 * factor)));
      label.setAttribute("y", String(mark.y0 * factor > 18 ? mark.y0 * factor - 5 : mark.y0 * factor + 16));
      group.classList.toggle("weak", !mark.counts);
      return group;
    });
    boxes.replaceChildren(...drawn);
  };

  // Without its picture an image is as large as its boxes need.
  const sizeOf = (image) => {
    if (image.picture) return image.picture.slice(2);
    const edge = (name) => Math.max(64, ...image.marks.map((mark) => mark[name]));
    return [edge("x1"), edge("y1")];
  };

  const openViewer = (where, remember = true) => {
    const raw = rawAt(where.prompt, where.run, where.steps, where.index);
    if (!raw) return;
    current = where;
    const image = imageOf(raw);
    const verdict = VERDICTS.get(image.verdict);
    byId("viewer-heading").textContent = `${data.runs[where.run].name}, ${atSteps(where.steps)}, prompt ${where.prompt.id}, image ${where.index}`;
    const large = byId("large");
    if (image.picture) large.src = sourceOf(image.picture);
    else large.removeAttribute("src");
    large.alt = image.picture ? `Picture for: ${where.prompt.text}` : "";
    byId("large-fault").hidden = !image.fault;
    byId("large-fault").textContent = image.fault;
    byId("large-prompt").textContent = where.prompt.text;
    byId("large-verdict").textContent = `${verdict.sign} ${verdict.name}`;
    byId("large-reason").textContent = image.reason;
    byId("objects").replaceChildren(...image.marks.map((mark) => element("tr", {},
      element("th", { scope: "row", textContent: mark.name }),
      ...[mark.color || "not asked", mark.score.toFixed(3), mark.counts ? "yes" : "no, below the threshold"]
        .map((textContent) => element("td", { textContent })))));
    for (const button of viewer.querySelectorAll("nav button")) button.disabled = !moved(button.dataset);
    if (!viewer.open) viewer.showModal();
    drawMarks(image);
    if (remember) writeHash();
  };

  const moved = ({ step, index }) => {
    const counts = data.runs[current.run].steps;
    const steps = counts[counts.indexOf(current.steps) + Number(step ?? 0)];
    const there = { ...current, steps, index: current.index + Number(index ?? 0) };
    return steps !== undefined && rawAt(there.prompt, there.run, steps, there.index) ? there : null;
  };
  const move = (by) => {
    const there = moved(by);
    if (there) openViewer(there);
  };

  viewer.querySelector("nav").addEventListener("click", (event) => move(event.target.dataset));
  viewer.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: { step: -1 }, ArrowRight: { step: 1 }, ArrowUp: { index: -1 }, ArrowDown: { index: 1 } }[event.key];
    if (!by || event.target.closest(".scroll")) return;
    event.preventDefault();
    move(by);
  });
  viewer.addEventListener("click", (event) => {
    if (event.target === viewer) viewer.close();
  });
  viewer.addEventListener("close", () => {
    current = null;
    writeHash();
  });

  // ---- What the address keeps -------------------------------------------------------------------------------

  const writeHash = () => {
    const kept = new URLSearchParams();
    for (const name of NAMES) if (asked[name]) kept.set(name, asked[name]);
    if (current) {
      kept.set("picture", [current.run, current.steps, data.prompts.indexOf(current.prompt), current.index].join("."));
    }
    history.replaceState(null, "", `#${kept}`);
  };

  const readHash = () => {
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const name of NAMES) setField(name, kept.get(name) ?? "");
    show();
    const [run, steps, prompt, index] = (kept.get("picture") ?? "").split(".").map(Number);
    if (index !== undefined && data.prompts[prompt] && data.runs[run]) {
      openViewer({ prompt: data.prompts[prompt], run, steps, index }, false);
    } else if (viewer.open) {
      viewer.close();
    }
  };

  form.addEventListener("input", () => { show(); writeHash(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { show(); writeHash(); }));
  addEventListener("hashchange", () => { if (location.hash !== "#gallery") readHash(); });

  // ---- Light and dark ---------------------------------------------------------------------------------------

  const THEMES = ["automatic", "light", "dark"];
  const setTheme = (theme) => {
    if (theme === "automatic") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    byId("theme").textContent = `Theme: ${theme}`;
  };
  byId("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? "automatic";
    setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
  });

  readHash();
})();
