// The keys of the question for the age. The button to send waits for an age that can be.
const OLDEST = 120;

export function ask(form) {
  const years = form.elements.years;
  const send = form.querySelector("[type=submit]");

  function check() {
    send.disabled = !years.checkValidity();
  }

  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-key]");
    if (!button) return;
    const key = button.dataset.key;
    const typed = key === "back" ? years.value.slice(0, -1) : String(Number(years.value + key));
    if (Number(typed) <= OLDEST) years.value = typed;
    check();
  });
  // All keys in sight at once, also on a small screen.
  const question = form.closest("details");
  question.addEventListener("toggle", () => question.open && question.scrollIntoView());
  years.addEventListener("input", check);
  form.addEventListener("submit", () => (send.disabled = true));
  check();
}
