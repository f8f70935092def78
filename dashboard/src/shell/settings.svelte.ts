// What a person chose for this browser: theme, zone, environment. Kept in localStorage.

export type Theme = "system" | "light" | "dark";
export type Zone = "utc" | "local";

function kept(name: string, otherwise: string): string {
  return localStorage.getItem(`ironflow.${name}`) ?? otherwise;
}

class Settings {
  theme = $state(kept("theme", "system") as Theme);
  zone = $state(kept("zone", "utc") as Zone);
  environment = $state(kept("environment", "default"));

  keep(name: "theme" | "zone" | "environment", value: string): void {
    localStorage.setItem(`ironflow.${name}`, value);
    if (name === "theme") this.theme = value as Theme;
    else if (name === "zone") this.zone = value as Zone;
    else this.environment = value;
    this.paint();
  }

  /** Goes to another environment, at its overview. */
  enter(environment: string): void {
    this.keep("environment", environment.trim() || "default");
    location.assign("/");
  }

  /** Puts the theme on the document: the system's unless one was chosen. */
  paint(): void {
    const dark = this.theme === "dark" || (this.theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset["theme"] = dark ? "dark" : "light";
  }
}

export const settings = new Settings();
settings.paint();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => settings.paint());
