// For the whole page: a photo may be dropped anywhere, and one that is too large is not sent at all.
(() => {
  const MEGABYTES = $MEGABYTES;
  const slots = "#udg-drop input[type=file], #udg-last input[type=file]";

  function refuse(text) {
    document.querySelectorAll("#udg-notice .prose, #udg-status .prose").forEach((place) => {
      place.innerHTML = '<div class="udg-status"><p class="udg-error" role="alert"></p></div>';
      place.querySelector("p").textContent = text;
    });
  }

  window.addEventListener("dragover", (event) => event.preventDefault(), true);
  window.addEventListener("drop", (event) => {
    event.preventDefault(); // it must not replace the page
    event.stopPropagation();
    const input = document.querySelector(slots);
    if (!input || !event.dataTransfer.files.length) return;
    const one = new DataTransfer();
    one.items.add(event.dataTransfer.files[0]);
    input.files = one.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }, true);

  window.addEventListener("change", (event) => {
    const file = event.target.matches(slots) && event.target.files[0];
    if (!file || file.size <= MEGABYTES * 1e6) return;
    event.stopImmediatePropagation();
    event.target.value = "";
    refuse(`${file.name} is larger than ${MEGABYTES} MB; use a smaller file.`);
  }, true);
})();
