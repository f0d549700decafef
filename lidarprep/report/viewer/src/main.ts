// Fills <section id="viewer"> of the page.

import { readScene } from "./data";
import * as exposed from "./exposed";
import { mountViewer } from "./viewer";

const section = document.getElementById("viewer");
const scene = readScene(document);
if (section && scene?.frames.length) Object.assign(window, { lidarprep: { ...mountViewer(section, scene), ...exposed } });
