"""Being installed on a host: releases, units, first files, files for clients, and looking at it."""
