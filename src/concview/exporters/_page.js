"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const tip = $("tip");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const seconds = (us) => us >= 1e6 ? (us / 1e6).toFixed(2) + " s" : us >= 1e3 ? (us / 1e3).toFixed(1) + " ms" : us.toFixed(0) + " µs";
  const clock = (s) => Math.floor(s / 60) + ":" + (s % 60).toFixed(1).padStart(4, "0");
  const chosen = { states: new Set(data.states.map((_, i) => i)), threads: "", search: "", own: false };
  let root = null, zoom = null, boxes = [];

  const wanted = () => {
    const words = chosen.threads.toLowerCase();
    return data.threads.map((t) => !words || t.name.toLowerCase().includes(words) || String(t.tid) === words);
  };

  const node = (name, own) => ({ name, own, total: 0, states: new Float64Array(data.states.length), kids: new Map(), up: null });

  const grow = () => {
    const keep = wanted();
    root = node("all", true);
    for (const [thread, state, stack, leaf, us] of data.keys) {
      if (!keep[thread] || !chosen.states.has(state)) continue;
      let at = root;
      const add = (key, name, own) => {
        let kid = at.kids.get(key);
        if (!kid) { kid = node(name, own); kid.up = at; at.kids.set(key, kid); }
        at = kid; at.total += us; at.states[state] += us;
      };
      root.total += us; root.states[state] += us;
      for (const f of data.stacks[stack]) if (!chosen.own || data.own[f]) add(f, data.frames[f], data.own[f]);
      add("s" + state, "[" + data.states[state] + "]", true);
      if (leaf >= 0) add("l" + leaf, data.leaves[leaf], true);
    }
    zoom = root;
  };

  const setup = (canvas, height) => {
    const ratio = devicePixelRatio || 1, width = canvas.parentElement.clientWidth;
    canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = height + "px";
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio); pen.font = "12px ui-monospace, Menlo, Consolas, monospace"; pen.textBaseline = "middle";
    return [pen, width];
  };

  const ROW = 19;
  const depth = (n) => { let most = 0; for (const k of n.kids.values()) most = Math.max(most, 1 + depth(k)); return most; };

  const drawFlame = () => {
    const canvas = $("flame");
    const above = []; for (let n = zoom; n; n = n.up) above.unshift(n);
    const [pen, width] = setup(canvas, (above.length + depth(zoom)) * ROW + 4);
    boxes = [];
    const words = chosen.search.toLowerCase();
    let found = 0;
    const box = (n, x, y, w, faded, counted) => {
      if (w < 0.4) return;
      const hit = words && n.name.toLowerCase().includes(words);
      pen.globalAlpha = faded || (words && !hit) ? 0.35 : 1;
      let at = x;
      n.states.forEach((us, s) => {
        if (!us) return;
        const part = w * us / n.total;
        pen.fillStyle = data.colours[s]; pen.fillRect(at, y, Math.max(part - (at + part >= x + w - 0.01 ? 0.6 : 0), 0.3), ROW - 1.5);
        at += part;
      });
      pen.globalAlpha = 1;
      if (hit && !counted) found += n.total;
      boxes.push([x, y, w, n]);
      if (w > 28) {
        const room = Math.floor((w - 8) / 7.3);
        pen.fillStyle = "#0b0d10"; if (n.own) pen.font = "bold 12px ui-monospace, Menlo, Consolas, monospace";
        pen.fillText(n.name.length > room ? n.name.slice(0, Math.max(room - 1, 1)) + "…" : n.name, x + 4, y + ROW / 2 - 0.5);
        pen.font = "12px ui-monospace, Menlo, Consolas, monospace";
      }
      return hit;
    };
    above.slice(0, -1).forEach((n, i) => box(n, 0, i * ROW, width, true, true));
    const draw = (n, x, y, w, counted) => {
      if (w < 0.4) return;
      const inside = box(n, x, y, w, false, counted) || counted;
      let at = x;
      for (const kid of [...n.kids.values()].sort((a, b) => b.total - a.total)) {
        const part = w * kid.total / n.total;
        draw(kid, at, y + ROW, part, inside);
        at += part;
      }
    };
    if (zoom.total) draw(zoom, 0, (above.length - 1) * ROW, width, false);
    const said = zoom.total ? seconds(root.total) + " of " + data.whose + " time" : "nothing of what is chosen";
    $("said").textContent = said + (words && root.total ? ", " + (100 * found / root.total).toFixed(1) + " % in matches" : "");
  };

  const LEFT = 190, HEAD = 34, LINE = 15;
  let rows = [];
  const drawTime = () => {
    const keep = wanted();
    rows = data.threads.map((t, i) => i).filter((i) => keep[i] && data.strips[i]);
    const [pen, width] = setup($("time"), HEAD + rows.length * LINE + 4);
    const wide = width - LEFT - 8;
    pen.fillStyle = colour("--dim");
    for (let i = 0; i <= 8; i++) {
      const x = LEFT + wide * i / 8;
      pen.fillText(clock(data.from + data.seconds * i / 8), Math.min(x, width - 48), 8);
      pen.fillRect(x, 15, 1, 4);
    }
    for (const m of data.marks) {
      const x = LEFT + wide * Math.max(0, m.a - data.from) / data.seconds, w = Math.max(3, wide * (m.b - m.a) / data.seconds);
      pen.fillStyle = colour(m.warn ? "--warn" : "--info"); pen.fillRect(x, m.warn ? 20 : 27, Math.min(w, width - x), 5);
    }
    rows.forEach((t, r) => {
      const y = HEAD + r * LINE, strip = data.strips[t];
      pen.fillStyle = colour("--fg");
      const name = data.threads[t].name;
      pen.fillText(name.length > 25 ? name.slice(0, 24) + "…" : name, 2, y + LINE / 2);
      const part = wide / strip.length;
      for (let i = 0; i < strip.length; i++) {
        const s = strip.charCodeAt(i) - 48;
        if (s < 0 || !chosen.states.has(s)) continue;
        let end = i + 1;
        while (end < strip.length && strip[end] === strip[i]) end++;
        pen.fillStyle = data.colours[s]; pen.fillRect(LEFT + i * part, y + 1, (end - i) * part, LINE - 3);
        i = end - 1;
      }
    });
    const tall = rows.length * LINE;
    for (const [a, b] of data.gaps) {  // what is drawn there, nobody saw
      const place = (s) => LEFT + wide * Math.min(1, Math.max(0, (s - data.from) / data.seconds)), x = place(a), w = place(b) - x;
      pen.save(); pen.beginPath(); pen.rect(x, HEAD, w, tall); pen.clip();
      pen.globalAlpha = .6; pen.fillStyle = colour("--bg"); pen.fillRect(x, HEAD, w, tall);
      pen.globalAlpha = .8; pen.strokeStyle = colour("--dim"); pen.beginPath();
      for (let up = x - tall; up < x + w; up += 9) { pen.moveTo(up, HEAD + tall); pen.lineTo(up + tall, HEAD); }
      pen.stroke(); pen.restore();
    }
  };

  const show = (event, text) => {
    if (!text) { tip.style.display = "none"; return; }
    tip.textContent = text; tip.style.display = "block";
    tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + "px";
  };
  const at = (event, canvas) => { const r = canvas.getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
  const boxAt = (event) => {
    const [x, y] = at(event, $("flame"));
    return boxes.find(([bx, by, bw]) => x >= bx && x < bx + bw && y >= by && y < by + ROW - 1);
  };
  $("flame").addEventListener("mousemove", (event) => {
    const hit = boxAt(event);
    if (!hit) { show(event, ""); return; }
    const n = hit[3], parts = [];
    n.states.forEach((us, s) => { if (us) parts.push(data.states[s] + " " + seconds(us) + " (" + (100 * us / n.total).toFixed(0) + " %)"); });
    show(event, n.name + "\n" + seconds(n.total) + ", " + (100 * n.total / root.total).toFixed(1) + " % of all\n" + parts.join(", "));
  });
  $("flame").addEventListener("mouseleave", (event) => show(event, ""));
  $("flame").addEventListener("click", (event) => { const hit = boxAt(event); if (hit) { zoom = hit[3] === zoom && zoom.up ? zoom.up : hit[3]; drawFlame(); } });
  $("out").addEventListener("click", () => { zoom = root; drawFlame(); });
  $("time").addEventListener("mousemove", (event) => {
    const [x, y] = at(event, $("time")), wide = $("time").clientWidth - LEFT - 8;
    const when = data.from + data.seconds * (x - LEFT) / wide;
    if (x < LEFT || x > LEFT + wide) { show(event, ""); return; }
    if (y < HEAD) {
      show(event, data.marks.filter((m) => m.a <= when + data.seconds / 200 && m.b >= when - data.seconds / 200).map((m) => m.id + ": " + m.title).join("\n"));
      return;
    }
    const t = rows[Math.floor((y - HEAD) / LINE)];
    if (t === undefined) { show(event, ""); return; }
    const strip = data.strips[t], s = strip.charCodeAt(Math.floor((x - LEFT) / wide * strip.length)) - 48;
    show(event, data.threads[t].name + " (" + data.threads[t].tid + ")\n" + clock(when) + " mostly " + (s >= 0 && s < data.states.length ? data.states[s] : "not there") + (data.gaps.some(([a, b]) => a <= when && when <= b) ? "\nno sample then: it was so at the next one" : ""));
  });
  $("time").addEventListener("mouseleave", (event) => show(event, ""));

  const redraw = () => { drawFlame(); drawTime(); };
  data.states.forEach((name, s) => {
    if (!data.keys.some((k) => k[1] === s)) return;
    const label = document.createElement("label"), tick = document.createElement("input"), swatch = document.createElement("span");
    tick.type = "checkbox"; tick.checked = true; swatch.className = "swatch"; swatch.style.background = data.colours[s];
    tick.addEventListener("change", () => { if (tick.checked) chosen.states.add(s); else chosen.states.delete(s); grow(); redraw(); });
    label.append(tick, swatch, name); $("states").append(label);
  });
  $("threads").addEventListener("input", (event) => { chosen.threads = event.target.value.trim(); grow(); redraw(); });
  $("search").addEventListener("input", (event) => { chosen.search = event.target.value.trim(); drawFlame(); });
  $("own").addEventListener("change", (event) => { chosen.own = event.target.checked; grow(); redraw(); });
  addEventListener("resize", redraw); dark.addEventListener("change", redraw);
  grow(); redraw();
})();
