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

// pixelsOf reads img line by line, so that there is never a second copy of it. The
// types that decoders return for ordinary files are read without a call for each
// pixel, which is what takes time in a component.
func pixelsOf(img image.Image) source {
	bounds := img.Bounds()
	src := source{width: bounds.Dx(), height: bounds.Dy()}
	switch img := img.(type) {
	case *image.YCbCr:
		src.row = func(y int, dst []float32) { rowOfYCbCr(img, bounds.Min.Y+y, dst) }
	case *image.NRGBA:
		src.row = func(y int, dst []float32) { rowOf(img.Pix[y*img.Stride:], dst) }
	case *image.RGBA:
		if img.Opaque() { // as PNG's are; its colours are the others' otherwise
			src.row = func(y int, dst []float32) { rowOf(img.Pix[y*img.Stride:], dst) }
		}
	case *image.Gray:
		src.row = func(y int, dst []float32) {
			pix := img.Pix[y*img.Stride:][:src.width]
			for x, v := range pix {
				dst[x*channels], dst[x*channels+1], dst[x*channels+2] = float32(v), float32(v), float32(v)
			}
		}
	}
	if src.row == nil {
		src.row = func(y int, dst []float32) {
			for x := range src.width {
				c := color.NRGBAModel.Convert(img.At(bounds.Min.X+x, bounds.Min.Y+y)).(color.NRGBA)
				dst[x*channels], dst[x*channels+1], dst[x*channels+2] = float32(c.R), float32(c.G), float32(c.B)
			}
		}
	}
	return src
}

// The functions with the inner loops are kept apart: what a loop costs in a component
// grows with the function it is in.

// rowOf reads a line of four bytes a pixel, the last of which is transparency.
//
//go:noinline
func rowOf(pix []uint8, dst []float32) {
	for len(dst) >= channels && len(pix) >= 4 {
		dst[0], dst[1], dst[2] = float32(pix[0]), float32(pix[1]), float32(pix[2])
		dst, pix = dst[channels:], pix[4:]
	}
}

// rowOfYCbCr reads line y of a JPEG image, by the formula of JFIF.
//
//go:noinline
func rowOfYCbCr(img *image.YCbCr, y int, dst []float32) {
	luma := img.Y[img.YOffset(img.Rect.Min.X, y):]
	chroma := img.COffset(img.Rect.Min.X, y)
	blue, red := img.Cb[chroma:], img.Cr[chroma:]
	shift := 0 // of the columns that share their chroma
	switch img.SubsampleRatio {
	case image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420:
		shift = 1
	case image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410:
		shift = 2
	}
	for x := 0; len(dst) >= channels; x++ {
		l := float32(luma[x])
		b, r := float32(blue[x>>shift])-128, float32(red[x>>shift])-128
		dst[0] = clamp(l + 1.402*r)
		dst[1] = clamp(l - 0.344136*b - 0.714136*r)
		dst[2] = clamp(l + 1.772*b)
		dst = dst[channels:]
	}
}

// clamp returns v within a channel's range.
func clamp(v float32) float32 {
	if v < 0 {
		return 0
	}
	if v > 255 {
		return 255
	}
	return v
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
		out[i] = uint8(clamp(v) + 0.5)
	}
	return out
}

// resize scales an image by Lanczos resampling with three lobes, line by line: each
// is made as narrow as the result, and then added to the lines of the result that it
// is part of. An image that already has the size stays as it is.
func resize(src source, width, height int) frame {
	result := frame{width, height, make([]float32, width*height*channels)}
	line, narrow := make([]float32, src.width*channels), make([]float32, width*channels)
	across, down := taps(src.width, width), taps(src.height, height)
	first := 0 // of the result's lines that still need source lines
	for y := range src.height {
		src.row(y, line)
		for i, t := range across {
			gather(narrow[i*channels:], line[t.first*channels:], t.weights)
		}
		for first < height && down[first].first+len(down[first].weights) <= y {
			first++
		}
		for i := first; i < height && down[i].first <= y; i++ {
			add(result.pix[i*len(narrow):], narrow, down[i].weights[y-down[i].first])
		}
	}
	return result
}

// gather makes the pixel at the beginning of dst of those in src.
//
//go:noinline
func gather(dst, src []float32, weights []float32) {
	var r, g, b float32
	for _, w := range weights {
		r += w * src[0]
		g += w * src[1]
		b += w * src[2]
		src = src[channels:]
	}
	dst[0], dst[1], dst[2] = r, g, b
}

// add adds src, weighted, to dst, which may be longer.
//
//go:noinline
func add(dst, src []float32, weight float32) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] += weight * v
	}
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
