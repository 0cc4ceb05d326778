// SPDX-License-Identifier: Apache-2.0

// Package pictures draws what the cameras of this sample see: a sign on a wall, of any
// size, in any place and direction, faded more or less, under uneven light, with the
// noise of a bad camera. Equal seeds give equal pictures.
package pictures

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/wasm-graph/graphd/engine/nn"
)

// sign is what may hang on the wall.
type sign struct {
	name  string
	paint [3]float64 // red, green and blue, when it is new
	// inside reports whether a point is on the sign, which is within 1 of 0, 0.
	inside func(x, y float64) bool
}

// signs are all signs, in the order of the model's outputs; the first is none.
func signs() []sign {
	return []sign{
		{"empty wall", [3]float64{}, func(x, y float64) bool { return false }},
		{"stop disc", [3]float64{205, 30, 35}, func(x, y float64) bool { return x*x+y*y < 0.72 }},
		{"notice square", [3]float64{25, 70, 190}, func(x, y float64) bool { return max(math.Abs(x), math.Abs(y)) < 0.7 }},
		{"warning triangle", [3]float64{240, 195, 25}, func(x, y float64) bool { return y < 0.5 && y > math.Sqrt(3)*math.Abs(x)-1 }},
		{"first aid cross", [3]float64{15, 145, 75}, func(x, y float64) bool {
			x, y = math.Abs(x), math.Abs(y)
			return min(x, y) < 0.25 && max(x, y) < 0.95
		}},
	}
}

// Names are what there is to see, in the order of the model's outputs.
func Names() []string {
	var names []string
	for _, s := range signs() {
		names = append(names, s.name)
	}
	return names
}

// Labels are the names as the operator snapshot reads them: a line each, after an id.
func Labels() string {
	var b strings.Builder
	for i, name := range Names() {
		fmt.Fprintf(&b, "sign-%d %s\n", i, name)
	}
	return b.String()
}

// scene is what determines a picture.
type scene struct {
	sign         sign
	x, y, radius float64 // in pixels
	sin, cos     float64 // of its direction
	wall, paint  [3]float64
	light        [2]float64 // how the brightness changes, a pixel
	noise        float64
}

// Draw draws the sign of that name, width by height pixels.
func Draw(name string, seed uint64, width, height int) *image.RGBA {
	r := rand.New(rand.NewPCG(seed, 0))
	between := func(low, high float64) float64 { return low + (high-low)*r.Float64() }
	side := float64(min(width, height))
	s := scene{radius: side * between(0.16, 0.34), noise: between(0, 12)}
	for _, candidate := range signs() {
		if candidate.name == name {
			s.sign = candidate
		}
	}
	s.x, s.y = between(s.radius, float64(width)-s.radius), between(s.radius, float64(height)-s.radius)
	s.sin, s.cos = math.Sincos(between(0, 2*math.Pi))
	grey, faded := between(60, 200), between(0, 0.25)
	for i := range 3 {
		s.wall[i] = grey + between(-10, 10)
		s.paint[i] = s.sign.paint[i]*(1-faded) + 128*faded + between(-15, 15)
	}
	s.light = [2]float64{between(-30, 30) / float64(width), between(-30, 30) / float64(height)}

	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			covered := s.covered(float64(x), float64(y))
			bright := s.light[0]*float64(x-width/2) + s.light[1]*float64(y-height/2)
			var c [3]uint8
			for i := range c {
				v := s.wall[i]*(1-covered) + s.paint[i]*covered + bright + between(-s.noise, s.noise)
				c[i] = uint8(min(max(math.Round(v), 0), 255))
			}
			img.SetRGBA(x, y, color.RGBA{c[0], c[1], c[2], 255})
		}
	}
	return img
}

// covered returns how much of a pixel the sign covers, of four points in it.
func (s *scene) covered(x, y float64) float64 {
	n := 0
	for _, d := range [4][2]float64{{0.25, 0.25}, {0.75, 0.25}, {0.25, 0.75}, {0.75, 0.75}} {
		dx, dy := (x+d[0]-s.x)/s.radius, (y+d[1]-s.y)/s.radius
		if s.sign.inside(dx*s.cos+dy*s.sin, dy*s.cos-dx*s.sin) {
			n++
		}
	}
	return float64(n) / 4
}

// RGB24 returns the pixels of img as a frame: three bytes each, row by row.
func RGB24(img *image.RGBA) []byte {
	frame := make([]byte, 0, len(img.Pix)/4*3)
	for i := 0; i < len(img.Pix); i += 4 {
		frame = append(frame, img.Pix[i:i+3]...)
	}
	return frame
}

// Side is the width and height of what the model takes, in pixels.
const Side = 224

// Example returns a picture as the operator snapshot gives it to the model: all reds,
// all greens, all blues, each less the average over ImageNet and in units of its
// deviation.
func Example(name string, seed uint64) *nn.Tensor {
	frame := RGB24(Draw(name, seed, Side, Side))
	data := make([]byte, 4*len(frame))
	mean, deviation := [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}
	for i, v := range frame {
		x := (float32(v)/255 - mean[i%3]) / deviation[i%3]
		binary.LittleEndian.PutUint32(data[4*(i%3*Side*Side+i/3):], math.Float32bits(x))
	}
	return &nn.Tensor{Type: nn.FP32, Dims: []uint32{1, 3, Side, Side}, Data: data}
}
