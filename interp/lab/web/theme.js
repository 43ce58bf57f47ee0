// Before anything is drawn: the colors that the reader chose in the book.
try { const theme = localStorage.getItem("theme"); if (theme) document.documentElement.dataset.theme = theme; } catch { /* auto */ }
