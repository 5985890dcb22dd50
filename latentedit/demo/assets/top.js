const button = element.querySelector("button");
const kept = localStorage.getItem("latentedit-theme");
const show = (dark) => {
  document.body.classList.toggle("dark", dark);
  button.textContent = dark ? "Light" : "Dark";
  button.setAttribute("aria-label", dark ? "Light colours" : "Dark colours");
};
show(kept ? kept === "dark" : document.body.classList.contains("dark")
  || matchMedia("(prefers-color-scheme: dark)").matches);
button.addEventListener("click", () => {
  const dark = !document.body.classList.contains("dark");
  localStorage.setItem("latentedit-theme", dark ? "dark" : "light");
  show(dark);
});
