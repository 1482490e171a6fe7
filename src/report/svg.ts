/**
 * The door to the chart library: an option in, one self-contained SVG element out. No script, no style sheet, no
 * event; colours are the page's CSS variables, so that one picture serves light, dark and paper.
 * @module
 */
import { BarChart, CustomChart, type CustomSeriesOption, LineChart, ScatterChart } from 'echarts/charts';
import { GridComponent, TitleComponent } from 'echarts/components';
import { type EChartsCoreOption, init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { html } from './escape.ts';

export type { CustomSeriesOption, EChartsCoreOption };

export interface Picture {
  /** Unique in the document. */
  readonly id: string;
  /** Outside strings are allowed in both: they are escaped here. */
  readonly title: string;
  /** What the picture shows, for those who do not see it. */
  readonly description: string;
  readonly width: number;
  readonly height: number;
  readonly option: EChartsCoreOption;
}

export function drawSvg(picture: Picture): string {
  const { id, width, height, option } = picture;
  use([BarChart, CustomChart, LineChart, ScatterChart, GridComponent, TitleComponent, SVGRenderer]);
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily: 'inherit' }, ...option });
    return labelled(stripped(chart.renderToSVGString({ useViewBox: true }), id), picture);
  } finally {
    chart.dispose();
  }
}

/** Without hover styles and the renderer's counters: the same picture is the same text, and ids do not clash. */
function stripped(svg: string, id: string): string {
  return svg
    .replace(/<style[^>]*>[\s\S]*?<\/style>\s*/g, '')
    .replace(/ class="zr[^"]*"/g, '')
    .replace(/ (?:ecmeta_\w+|pointer-events|xml:space)="[^"]*"/g, '')
    .replace(/\bzr\d+-/g, `${id}-`)
    .replace(/font-family:[^;"]*;?/g, '');
}

function labelled(svg: string, { id, title, description, width }: Picture): string {
  return svg
    .replace(/^<svg[^>]*viewBox="([^"]*)"[^>]*>/, (_, viewBox: string) => {
      return (
        `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${viewBox}" style="max-width:${width}px" role="img" ` +
        `aria-labelledby="${id}-title ${id}-desc"><title id="${id}-title">${html(title)}</title>` +
        `<desc id="${id}-desc">${html(description, 4000)}</desc>`
      );
    })
    .trim();
}
