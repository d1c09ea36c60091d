"""One self-contained HTML page that says what came of a set of runs: `plaudit.report.page.write_report`."""
