// SPDX-License-Identifier: Apache-2.0

package main

import (
	"image"
	"image/color"
	"math"
)

// channels is how many numbers make a pixel: red, green, blue.
const channels = 3

// source is an image to be resized. Transparency is ignored, not blended.
type source struct {
	width, height int
	// row writes line y to dst, which has width*channels elements.
	row func(y int, dst []float32)
}

// pixelsOf reads img line by line, so that there is never a second copy of it.
func pixelsOf(img image.Image) source {
	bounds := img.Bounds()
	at := func(x, y int) (r, g, b uint8) {
		c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
		return c.R, c.G, c.B
	}
	// The types that decoders return for ordinary files, without an allocation a pixel.
	switch img := img.(type) {
	case *image.YCbCr:
		at = func(x, y int) (r, g, b uint8) {
			c := img.YCbCrAt(x, y)
			return color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
		}
	case *image.NRGBA:
		at = func(x, y int) (r, g, b uint8) { c := img.NRGBAAt(x, y); return c.R, c.G, c.B }
	case *image.RGBA:
		// Of PNG, which has this for images without transparency.
		if img.Opaque() {
			at = func(x, y int) (r, g, b uint8) { c := img.RGBAAt(x, y); return c.R, c.G, c.B }
		}
	case *image.Gray:
		at = func(x, y int) (r, g, b uint8) { c := img.GrayAt(x, y); return c.Y, c.Y, c.Y }
	}
	return source{bounds.Dx(), bounds.Dy(), func(y int, dst []float32) {
		for x := range bounds.Dx() {
			r, g, b := at(bounds.Min.X+x, bounds.Min.Y+y)
			dst[x*channels], dst[x*channels+1], dst[x*channels+2] = float32(r), float32(g), float32(b)
		}
	}}
}

// frame is an image in floats.
type frame struct {
	width, height int
	pix           []float32
}

// bytes returns f in one byte a channel.
func (f frame) bytes() []byte {
	out := make([]byte, len(f.pix))
	for i, v := range f.pix {
		out[i] = uint8(min(max(math.Round(float64(v)), 0), 255))
	}
	return out
}

// resize scales an image by Lanczos resampling with three lobes: first the columns,
// then the lines. One that already has the size stays as it is.
func resize(src source, width, height int) frame {
	tall := frame{src.width, height, make([]float32, src.width*height*channels)}
	line := make([]float32, src.width*channels)
	columns := taps(src.height, height)
	for y := range src.height { // each source line is read once
		src.row(y, line)
		for out, t := range columns {
			if y < t.first || y >= t.first+len(t.weights) {
				continue
			}
			weight := t.weights[y-t.first]
			dst := tall.pix[out*len(line) : (out+1)*len(line)]
			for i, v := range line {
				dst[i] += weight * v
			}
		}
	}
	result := frame{width, height, make([]float32, width*height*channels)}
	for out, t := range taps(src.width, width) {
		for y := range height {
			from := tall.pix[(y*src.width+t.first)*channels:]
			dst := result.pix[(y*width+out)*channels:][:channels]
			for i, weight := range t.weights {
				for c := range dst {
					dst[c] += weight * from[i*channels+c]
				}
			}
		}
	}
	return result
}

// tap is the source pixels that make one pixel of the result, along one axis.
type tap struct {
	first   int
	weights []float32 // they add up to 1
}

// taps returns what makes each of out pixels from in pixels.
func taps(in, out int) []tap {
	all := make([]tap, out)
	ratio := float64(in) / float64(out)
	scale := max(ratio, 1) // where it gets smaller, the kernel gets wider
	for i := range all {
		center := (float64(i) + 0.5) * ratio
		first := max(int(math.Floor(center-lobes*scale)), 0)
		last := min(int(math.Ceil(center+lobes*scale)), in)
		weights := make([]float64, last-first)
		sum := 0.0
		for j := range weights {
			weights[j] = lanczos((float64(first+j) + 0.5 - center) / scale)
			sum += weights[j]
		}
		all[i] = tap{first, make([]float32, len(weights))}
		for j, w := range weights {
			all[i].weights[j] = float32(w / sum)
		}
	}
	return all
}

// lobes is how far the kernel reaches, in pixels.
const lobes = 3

// lanczos is the kernel: sinc, windowed by a wider sinc.
func lanczos(x float64) float64 {
	if math.Abs(x) >= lobes {
		return 0
	}
	return sinc(x) * sinc(x/lobes)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}
