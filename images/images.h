/* images.h: all of images/. IMAGES_IMPLEMENTATION, in one .c file, brings the code of all parts;
 * each part also has a macro of its own, and then needs the code of what it includes. */
#ifdef IMAGES_IMPLEMENTATION
#define IMAGE_IMPLEMENTATION
#define GARMENT_IMPLEMENTATION
#define FORMATS_IMPLEMENTATION
#define COLOR_IMPLEMENTATION
#define DRAWN_IMPLEMENTATION
#define PERIOD_IMPLEMENTATION
#define DATASET_IMPLEMENTATION
#define SHEET_IMPLEMENTATION
#endif
#include "images/image.h"       /* one picture: cut, enlarged, laid on another; garment and print */
#include "images/garment.h"     /* where in a picture is the garment? */
#include "images/formats.h"     /* files of pictures and of whole sets */
#include "images/color.h"       /* statistics of colours */
#include "images/drawn.h"       /* garments and textiles drawn by the program */
#include "images/period.h"      /* after how many pixels does a motif come again? */
#include "images/dataset.h"     /* sets of pictures, augmentation */
#include "images/sheet.h"       /* contact sheets, text, plots */
