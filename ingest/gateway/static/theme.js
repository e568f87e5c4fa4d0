/** Light or dark: as the system says, until the button is pressed; kept in memory only. */

export function followTheme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const show = () => {
    const isDark = chosen === null ? system.matches : chosen === "dark";
    if (chosen) document.documentElement.dataset.theme = chosen;
    button.setAttribute("aria-pressed", isDark);
  };
  button.addEventListener("click", () => {
    chosen = button.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    show();
  });
  system.addEventListener("change", show);
  show();
}
