// Shows what the server sent: before and after, the rain, the streaks' direction.
const root = element.querySelector(".udg-view");
const find = (name) => root.querySelector(".udg-" + name);
const state = { at: 50, view: "compare", direction: false, angle: null, turning: null };

const lines = find("lines").firstElementChild;
for (let x = -150; x <= 150; x += 30) {
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", `M${x} -250 V250`);
  lines.append(line, Object.assign(line.cloneNode()));
}

function draw() {
  const shown = props.value || {};
  const rain = state.view === "rain" && shown.rain;
  const compare = !rain && Boolean(shown.after);
  root.hidden = !shown.before;
  root.dataset.view = rain ? "rain" : "compare";
  root.style.setProperty("--at", state.at + "%");
  for (const name of ["before", "after", "rain"]) {
    const image = find(name);
    if (shown[name] && image.getAttribute("src") !== shown[name]) image.src = shown[name];
    image.hidden = !shown[name] || (name === "rain") !== Boolean(rain);
  }
  if (shown.width) {
    const ratio = shown.width / shown.height;
    find("stage").style.aspectRatio = ratio;
    find("stage").style.width = `min(100%, calc(76vh * ${ratio}))`;
  }
  for (const name of ["bar", "at", "tag-before", "tag-after"]) find(name).hidden = !compare;
  find("tag-after").textContent = shown.draft ? "after (draft)" : "after";
  find("at").value = state.at;
  root.querySelectorAll("[name=udg-view]").forEach((one) => {
    one.checked = one.value === (rain ? "rain" : "compare");
    one.disabled = one.value === "rain" && !shown.rain;
  });
  const angle = state.turning === null ? shown.angle : state.turning;
  const known = angle !== null && angle !== undefined;
  find("direction").disabled = !known;
  find("direction").checked = state.direction;
  find("lines").toggleAttribute("hidden", !known || !(state.direction || state.turning !== null));
  if (known) lines.setAttribute("transform", `rotate(${angle})`);
  find("caption").textContent = rain ? shown.rain_caption : shown.caption || "";
}

element.addEventListener("input", (event) => {
  if (event.target === find("at")) state.at = Number(event.target.value);
  if (event.target.name === "udg-view") state.view = event.target.value;
  if (event.target === find("direction")) state.direction = event.target.checked;
  draw();
});

// While the angle is turned by hand, and a moment after, the lines show it.
let fading = null;
window.addEventListener("udg-turned", (event) => {
  clearTimeout(fading);
  state.turning = event.detail;
  fading = setTimeout(() => { state.turning = null; draw(); }, 4000);
  draw();
});

let before = null;
watch("value", () => {
  const photo = (props.value || {}).before;
  if (photo && photo !== before) {
    Object.assign(state, { at: 50, view: "compare", turning: null });
    window.scrollTo(0, 0);
  }
  before = photo;
  draw();
});
draw();
