// Switches the language of the page, and remembers it where the browser lets a page do that.
{
  const KEY = "vfseg.language";
  const remembered = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  };
  const show = (language) => {
    document.documentElement.lang = language;
  };
  show(remembered() ?? (navigator.language.startsWith("ja") ? "ja" : "en"));
  document.getElementById("language").addEventListener("click", () => {
    show(document.documentElement.lang === "ja" ? "en" : "ja");
    try {
      localStorage.setItem(KEY, document.documentElement.lang);
    } catch {
      // A browser that keeps nothing for pages on disk: the choice holds for this visit.
    }
  });
}
