/* Sets the chosen theme before the first paint; a module would come too late and flash. No choice: the system's. */
try {
  const choice = localStorage.getItem("plaudit:theme");
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
} catch { /* storage is off: the system's theme it is */ }
