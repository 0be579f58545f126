"""Word lists of the caption corpus. A change here changes the corpus, its fingerprint, and every cached covariance."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(" ".join(text.split()).split(", "))


ANIMALS = _words("""
    cat, dog, puppy, kitten, horse, pony, foal, cow, calf, bull, goat, lamb, pig, piglet, donkey, rabbit, hare,
    hamster, guinea pig, mouse, rat, squirrel, chipmunk, beaver, otter, hedgehog, badger, fox, wolf, coyote, bear,
    polar bear, panda, koala, kangaroo, wombat, lion, lioness, tiger, leopard, cheetah, jaguar, lynx, elephant,
    rhinoceros, hippopotamus, giraffe, zebra, antelope, gazelle, camel, llama, alpaca, monkey, chimpanzee, gorilla,
    orangutan, lemur, sloth, anteater, armadillo, raccoon, skunk, ferret, weasel, bat, whale, dolphin, seal, walrus,
    shark, stingray, octopus, squid, jellyfish, crab, lobster, seahorse, starfish, goldfish, trout, turtle, tortoise,
    lizard, iguana, gecko, chameleon, crocodile, snake, python, frog, toad, salamander, eagle, hawk, falcon, owl,
    crow, raven, magpie, sparrow, robin, finch, canary, parrot, cockatoo, toucan, hummingbird, kingfisher, woodpecker,
    pigeon, dove, seagull, pelican, flamingo, heron, stork, swan, duck, duckling, goose, turkey, rooster, hen, chick,
    peacock, ostrich, penguin, butterfly, moth, bee, bumblebee, wasp, beetle, ladybug, dragonfly, grasshopper,
    cricket, ant, spider, snail, corgi, poodle, dachshund, husky, border collie, golden retriever, bulldog, greyhound,
    tabby cat, siamese cat, dragon, unicorn, dinosaur, griffin, phoenix
""")
PEOPLE = _words("""
    woman, man, girl, boy, child, toddler, baby, teenager, grandmother, grandfather, mother, father, bride, groom,
    couple, nurse, doctor, surgeon, dentist, teacher, student, professor, scientist, astronaut, pilot, sailor,
    captain, soldier, knight, king, queen, prince, princess, wizard, witch, monk, nun, priest, samurai, ninja, pirate,
    cowboy, farmer, shepherd, fisherman, gardener, florist, baker, butcher, chef, waiter, waitress, barista,
    bartender, carpenter, plumber, electrician, mechanic, welder, blacksmith, potter, painter, sculptor, photographer,
    writer, poet, journalist, librarian, musician, pianist, violinist, guitarist, drummer, singer, dancer, ballerina,
    actor, actress, clown, magician, acrobat, athlete, runner, swimmer, boxer, wrestler, gymnast, skater, skier,
    surfer, climber, hiker, cyclist, jockey, golfer, goalkeeper, referee, coach, judge, lawyer, detective, policeman,
    firefighter, postman, tailor, shoemaker, barber, hairdresser, model, businessman, businesswoman, engineer,
    architect, programmer, hacker, robot, cyborg, alien, vampire, ghost, elf, dwarf, giant, mermaid, fairy, angel,
    viking, gladiator, pharaoh, geisha, nomad, tourist, beggar, merchant, lady, gentleman, street vendor, truck
    driver, taxi driver, construction worker
""")
THINGS = _words("""
    chair, armchair, rocking chair, stool, bench, sofa, table, desk, bed, cradle, wardrobe, dresser, bookshelf,
    cabinet, mirror, lamp, lantern, candle, chandelier, clock, pocket watch, hourglass, vase, pot, kettle, teapot,
    cup, mug, glass, bottle, jar, jug, bowl, plate, spoon, fork, knife, frying pan, toaster, blender, coffee machine,
    refrigerator, stove, oven, sink, bathtub, towel, toothbrush, hairbrush, comb, razor, soap dish, perfume bottle,
    umbrella, walking stick, suitcase, backpack, handbag, purse, wallet, basket, box, crate, barrel, bucket, broom,
    mop, ladder, hammer, saw, screwdriver, wrench, drill, shovel, rake, wheelbarrow, lawn mower, anvil, rope, chain,
    key, padlock, door, window, curtain, carpet, pillow, blanket, quilt, doll, teddy bear, kite, balloon, ball, yo-yo,
    spinning top, puzzle, chessboard, toy train, toy car, rocking horse, puppet, mask, drum, guitar, violin, cello,
    piano, accordion, flute, trumpet, saxophone, harp, banjo, ukulele, microphone, radio, record player, television,
    telephone, smartphone, laptop, keyboard, typewriter, camera, telescope, microscope, globe, map, compass, book,
    notebook, newspaper, postcard, envelope, pencil, fountain pen, paintbrush, easel, statue, bust, sculpture,
    figurine, trophy, medal, crown, ring, necklace, bracelet, earring, brooch, hat, cap, helmet, scarf, glove, coat,
    jacket, sweater, shirt, dress, skirt, kimono, suit, tie, belt, boot, shoe, sandal, sneaker, slipper, sock, sword,
    shield, bow, spear, cannon, anchor, lifebuoy, fishing rod, tent, sleeping bag, campfire, skateboard, surfboard,
    snowboard, sled, football, basketball, tennis racket, baseball bat, golf club, dumbbell, bicycle wheel, gear,
    light bulb, battery, engine, fan, heater, fire extinguisher, mailbox, street lamp, traffic light, road sign,
    billboard, flag, fountain, birdcage, aquarium, snow globe, music box, jewelry box, treasure chest, crystal ball,
    potion bottle, spell book, gift, christmas tree, jack-o'-lantern, scarecrow, snowman, sandcastle, coin, banknote,
    calculator, abacus, stethoscope, syringe, pill
""")
VEHICLES = _words("""
    car, taxi, bus, truck, van, fire engine, ambulance, police car, tractor, bulldozer, excavator, motorcycle,
    scooter, bicycle, tricycle, unicycle, train, steam locomotive, tram, subway train, airplane, biplane, helicopter,
    glider, hot air balloon, airship, rocket, space shuttle, spaceship, flying saucer, boat, rowing boat, canoe,
    kayak, raft, gondola, sailboat, yacht, ferry, cargo ship, submarine, pirate ship, tugboat, carriage, wagon, cart,
    sleigh, rickshaw, race car, sports car, convertible, camper van, pickup truck, jeep, tank, cable car, hovercraft,
    cruise ship
""")
PLANTS = _words("""
    tree, oak, pine tree, birch, willow, maple tree, palm tree, cherry tree, apple tree, olive tree, bonsai, cactus,
    fern, bush, hedge, rose, tulip, daisy, sunflower, lily, orchid, lotus, poppy, daffodil, peony, dandelion, iris,
    violet, lavender plant, hydrangea, magnolia, water lily, mushroom, toadstool, pumpkin, bamboo plant, vine,
    houseplant, bouquet of roses, wreath of flowers, four-leaf clover, pinecone, acorn, autumn leaf, seedling
""")
DISHES = _words("""
    slice of pizza, bowl of ramen, bowl of soup, plate of pasta, plate of sushi, plate of pancakes, stack of waffles,
    cheeseburger, hot dog, sandwich, burrito, taco, salad, omelette, fried egg, grilled fish, roast chicken, steak,
    bowl of rice, bowl of curry, loaf of bread, baguette, croissant, bagel, pretzel, doughnut, muffin, cupcake,
    birthday cake, wedding cake, chocolate cake, cheesecake, apple pie, pumpkin pie, ice cream cone, milkshake,
    cookie, gingerbread house, jar of honey, jar of jam, piece of cheese, bar of chocolate, cup of coffee, cup of tea,
    glass of wine, glass of beer, glass of lemonade, glass of orange juice, glass of milk, bottle of water, cocktail,
    apple, pear, peach, banana, orange, lemon, lime, grapefruit, pineapple, mango, avocado, watermelon, strawberry,
    cherry, plum, fig, coconut, pomegranate, bunch of grapes, tomato, potato, carrot, onion, cucumber, eggplant, bell
    pepper, chili pepper, head of garlic, cauliflower, head of broccoli, artichoke, ear of corn, basket of berries
""")
TASTES = _words("fresh, hot, homemade, delicious, half-eaten, steaming, giant, colorful, ripe, tiny, burnt, frozen")
BUILDINGS = _words("""
    house, cottage, cabin, hut, villa, mansion, castle, palace, tower, lighthouse, windmill, watermill, barn,
    farmhouse, church, cathedral, chapel, temple, pagoda, mosque, monastery, skyscraper, apartment block, hotel,
    school, hospital, museum, library, theater, stadium, factory, warehouse, power plant, bridge, aqueduct, dam, gas
    station, greenhouse, treehouse, igloo, pyramid, tomb, ruin, fortress, gatehouse, observatory, bakery, bookshop,
    cafe, tea house, pub, train station, airport terminal, log cabin, houseboat, bus shelter, shed, garage, space
    station, wooden pier
""")
INDOORS = _words("""
    kitchen, bedroom, living room, bathroom, attic, cellar, hallway, nursery, classroom, laboratory, office, workshop,
    studio, library, museum, gallery, theater, cinema, restaurant, diner, cafe, bar, nightclub, bakery, bookstore,
    supermarket, toy shop, barber shop, hospital room, waiting room, elevator, gym, swimming pool, sauna, locker room,
    church, cathedral, throne room, dungeon, tavern, greenhouse, barn, stable, garage, factory, warehouse, spaceship,
    submarine, subway car, train compartment, tent, cave, concert hall, courtroom, ballroom, laundromat, phone booth
""")
OUTDOORS = _words("""
    garden, park, forest, jungle, rainforest, desert, canyon, valley, meadow, field, orchard, vineyard, swamp, marsh,
    village, town square, alley, courtyard, parking lot, playground, zoo, market, cemetery, junkyard, harbor, lagoon,
    bay, fjord, river, lake, pond, stream, puddle, snowfield, rice paddy, bamboo grove, wheat field, lavender field,
    ghost town, city street, backyard, construction site, amusement park, botanical garden, stadium, ruined temple
""")
SURFACES = _words("""
    table, kitchen counter, shelf, windowsill, desk, bench, chair, sofa, rug, carpet, wooden floor, staircase, log,
    tree stump, branch, fence, wall, haystack, stage, podium, pedestal, workbench, tray, silver platter, marble slab,
    picnic blanket, mattress, pile of books, stack of hay
""")
GROUNDS = _words("""
    doorstep, balcony, porch, rooftop, terrace, sidewalk, road, bridge, pier, beach, rock, cliff, hill, mountain top,
    glacier, iceberg, island, lawn, sand dune, frozen lake, riverbank
""")
CITIES = _words("""
    Paris, London, Rome, Venice, Florence, Madrid, Barcelona, Lisbon, Berlin, Vienna, Prague, Budapest, Athens,
    Istanbul, Moscow, Stockholm, Copenhagen, Amsterdam, Brussels, Dublin, Edinburgh, Cairo, Marrakesh, Nairobi, Cape
    Town, Lagos, Mumbai, Delhi, Kathmandu, Bangkok, Hanoi, Singapore, Shanghai, Beijing, Hong Kong, Seoul, Tokyo,
    Kyoto, Sydney, Auckland, Honolulu, San Francisco, Los Angeles, Chicago, New Orleans, New York, Boston, Toronto,
    Montreal, Havana, Mexico City, Lima, Rio de Janeiro, Buenos Aires, Reykjavik, Jerusalem, Dubai, Samarkand, Tibet,
    Iceland, Greenland, the Alps, the Sahara, the Amazon, the Himalayas, Patagonia, Tuscany, Provence, Bavaria,
    Scotland, Norway, Japan
""")
COLOURS = _words("""
    red, orange, yellow, green, blue, purple, pink, brown, black, white, gray, golden, silver, turquoise, crimson,
    scarlet, beige, ivory, teal, navy blue, emerald green, sky blue, olive, maroon, lilac, pale blue, dark green,
    bright red, pastel pink, copper, charcoal, rainbow-colored
""")
MATERIALS = _words("""
    wooden, metal, glass, plastic, paper, cardboard, leather, woolen, silk, velvet, cotton, knitted, ceramic,
    porcelain, clay, stone, marble, granite, brick, concrete, iron, steel, rusty, brass, bronze, gold-plated, crystal,
    ice, rubber, wicker, bamboo, straw, felt, origami, wax, chocolate, neon, stained-glass, patchwork, handmade
""")
SIZES = _words("""
    small, big, tiny, huge, tall, short, long, narrow, wide, thick, thin, round, square, miniature, giant, enormous,
    oversized, slender, heavy, flat
""")
CONDITIONS = _words("""
    old, new, antique, vintage, modern, futuristic, broken, cracked, dusty, dirty, clean, shiny, polished, worn,
    battered, abandoned, decorated, painted, carved, striped, spotted, checkered, floral, transparent, glowing,
    burning, wet, frozen, empty, full, open, closed, folded, crooked, ornate, simple, elegant, cheap, expensive,
    precious, magical, mysterious, medieval, victorian, steampunk, art deco, minimalist, colorful, plain,
    hand-painted, moss-covered
""")
MOODS = _words("""
    happy, sad, angry, sleepy, tired, curious, playful, shy, brave, scared, surprised, lonely, proud, calm, lazy,
    hungry, grumpy, friendly, gentle, wise, clumsy, elegant, wild, cute, majestic, ferocious, fluffy, furry, scruffy,
    chubby, skinny, young, old, newborn, injured, muddy, wet, smiling, sleeping, cheerful, mischievous, noble, tame,
    nervous
""")
PERSON_ADJECTIVES = _words("""
    young, old, elderly, middle-aged, tall, short, slim, strong, happy, sad, smiling, laughing, crying, tired,
    thoughtful, serious, elegant, poor, rich, famous, bearded, bald, red-haired, blonde, dark-haired, curly-haired,
    freckled, tattooed, masked, barefoot, muscular, kind, stern, lonely, cheerful, mysterious, beautiful, handsome,
    shy
""")
PLACE_ADJECTIVES = _words("""
    small, large, quiet, busy, crowded, empty, dark, bright, sunny, rainy, foggy, snowy, misty, dusty, messy, tidy,
    cozy, cold, warm, old, modern, abandoned, ruined, haunted, enchanted, tropical, remote, peaceful, colorful,
    luxurious, humble, green, moonlit, sunlit, flooded, overgrown, rustic, medieval, futuristic, narrow, windy,
    beautiful
""")
CLOTHES = _words("""
    a red hat, a straw hat, a top hat, a crown, a helmet, a hood, a scarf, a bow tie, a necktie, sunglasses, round
    glasses, a leather jacket, a raincoat, a fur coat, a lab coat, a hoodie, a sweater, a striped shirt, a white
    dress, a wedding dress, a ball gown, a kimono, a sari, a kilt, a toga, a cape, a cloak, a robe, a uniform, a
    spacesuit, a suit of armor, a swimsuit, pajamas, overalls, denim jeans, an apron, leather gloves, rubber boots,
    high heels, sandals, running shoes, a pearl necklace, a gas mask, a carnival mask, headphones, a backpack, a
    flower crown, a turban, a beret, a baseball cap
""")
ANIMAL_ACTIONS = _words("""
    sleeping, sitting, standing, lying down, running, jumping, walking, eating, drinking water, yawning, stretching,
    playing with a ball, chasing a butterfly, chasing its tail, looking at the camera, looking up, looking out of a
    window, hiding, peeking out of a box, climbing a tree, digging a hole, swimming, taking a bath, rolling in the
    grass, wearing a hat, wearing a scarf, wearing sunglasses, riding a skateboard, reading a book, playing the piano,
    holding a flower, carrying a stick, guarding a treasure, waiting at the door, resting in the shade, shaking off
    water, catching a fish, howling at the moon, licking its paw, dancing, dreaming, staring at its reflection,
    crossing the road, balancing on a ball, wearing a crown, being brushed, being fed by a child
""")
PERSON_ACTIONS = _words("""
    smiling, laughing, crying, singing, dancing, sleeping, sitting, standing, walking, running, jumping, waving,
    thinking, praying, shouting, whispering, reading a book, reading a newspaper, writing a letter, drawing a
    portrait, painting a wall, taking a photograph, talking on the phone, typing on a laptop, playing chess, playing
    cards, playing the guitar, playing the violin, playing football, playing tennis, riding a bicycle, riding a horse,
    driving a car, flying a kite, rowing a boat, fishing, swimming, diving, surfing, skiing, ice skating, climbing a
    wall, hiking, camping, cooking dinner, baking bread, chopping vegetables, drinking coffee, drinking tea, eating
    noodles, eating ice cream, washing dishes, sweeping the floor, ironing a shirt, hanging up laundry, watering
    flowers, picking apples, planting a tree, mowing the lawn, chopping wood, building a house, repairing a bicycle,
    fixing a clock, sewing a dress, knitting a sweater, shaping a clay pot, carving wood, forging a sword, holding a
    baby, holding a candle, holding an umbrella, holding hands, hugging a dog, feeding pigeons, walking a dog,
    carrying a suitcase, pushing a cart, selling fruit, buying flowers, waiting for a train, looking through a
    telescope, looking in a mirror, looking at the stars, blowing out candles, blowing bubbles, opening a gift, giving
    a speech, teaching a class, conducting an orchestra, lifting weights, doing yoga, meditating, stretching, brushing
    teeth, combing hair, putting on makeup, tying shoelaces, casting a spell, fighting a dragon, exploring a cave,
    juggling, shaking hands
""")
VEHICLE_ACTIONS = _words("""
    parked, speeding, waiting at a crossing, stuck in the mud, covered in snow, covered in flowers, on fire,
    abandoned, crossing a bridge, leaving the harbor, passing a village, turning a corner, racing through the night,
    being repaired, being washed, under construction, loaded with boxes, flying over the clouds, stranded, overgrown
    with ivy
""")
THING_STATES = _words("""
    covered in dust, covered in moss, covered in snow, floating in the air, lying in the grass, hanging on a wall,
    broken in two, wrapped in paper, filled with flowers, full of water, standing in a corner, hidden under a blanket,
    lit by a candle, seen from above, seen from below, half buried in sand, left in the rain, for sale, on display,
    tied with a ribbon, leaning against a wall, reflected in a mirror, resting on a cushion, on fire, made of flowers,
    made of ice
""")
TIMES = _words("""
    at dawn, at sunrise, in the morning, at noon, in the afternoon, at sunset, at dusk, in the evening, at night, at
    midnight, under a full moon, under the stars, in spring, in summer, in autumn, in winter, in the rain, in the
    snow, in thick fog, during a storm, after the rain, on a sunny day, on a cloudy day, on a windy day, under a
    rainbow, under the northern lights, during a festival, on a holiday, by candlelight, by firelight, in the
    moonlight
""")
MEDIA = _words("""
    photo, photograph, picture, close-up photo, black and white photo, polaroid, old photograph, portrait, snapshot,
    painting, oil painting, watercolor painting, acrylic painting, fresco, mural, mosaic, tapestry, sketch, pencil
    drawing, charcoal drawing, ink drawing, crayon drawing, child's drawing, comic strip, cartoon, caricature,
    woodcut, engraving, etching, linocut, screen print, poster, postcard, stamp, illustration, digital illustration,
    render, 3d render, low poly model, pixel art image, sculpture, marble statue, wooden carving, clay model, paper
    cutout, origami model, lego model, stained glass window, embroidery, tattoo design, graffiti, logo, icon,
    blueprint, diagram, sticker, book cover, album cover, movie still, video game screenshot, hologram, silhouette,
    miniature, diorama, macro photo, aerial photo, long exposure photo, fisheye photo, studio photo, rendition,
    depiction, doodle
""")
STYLES = _words("""
    impressionist, expressionist, cubist, surrealist, baroque, renaissance, rococo, gothic, romantic, realistic,
    photorealistic, hyperrealistic, abstract, minimalist, art nouveau, art deco, bauhaus, pop art, pointillist,
    futurist, constructivist, symbolist, naive, psychedelic, vaporwave, cyberpunk, steampunk, retro, vintage, fantasy,
    science fiction, noir, anime, manga, ukiyo-e, chinese ink, byzantine, aztec, egyptian, celtic, folk art,
    children's book, comic book, flat design, isometric, line art, graffiti, collage, double exposure, infrared
""")
DETAILS = _words("""
    soft light, dramatic lighting, golden hour, rim light, backlit, studio lighting, neon lights, volumetric light,
    long shadows, high contrast, pastel colors, vivid colors, muted colors, monochrome, sepia, shallow depth of field,
    bokeh, wide angle, bird's-eye view, low angle, side view, front view, centered composition, symmetrical, sharp
    focus, motion blur, film grain, highly detailed, intricate details, thick brush strokes, simple background, white
    background, black background, plain wall in the background, mountains in the background, city lights in the
    background, 4k, cinematic, dreamy, gloomy, festive, serene, whimsical, epic, cozy, nostalgic, eerie, matte colors,
    reflections, steam and smoke
""")
RELATIONS = _words("""
    next to, beside, in front of, behind, near, above, under, on top of, surrounded by, facing, leaning against,
    together with, far away from, between two trees and, looking at, inside a box with
""")
OWNERS = _words("my, your, his, her, our, their, my grandmother's, the king's, a child's, the neighbor's, the artist's")
NUMBERS = _words("two, three, four, five, six, seven, ten, a dozen, several, many, a pair of, a group of, hundreds of")
IRREGULAR_PLURALS = dict(
    pair.split(" ")
    for pair in _words("""
        mouse mice, samurai samurai, potato potatoes, tomato tomatoes, mango mangoes, calf calves, wolf wolves,
        goose geese, knife knives, loaf loaves, leaf leaves, child children, man men, woman women, policeman policemen,
        fisherman fishermen, postman postmen, businessman businessmen, businesswoman businesswomen, elf elves,
        dwarf dwarves, gentleman gentlemen, snowman snowmen, trout trout, squid squid, goldfish goldfish,
        bookshelf bookshelves, scarf scarves
    """)
)
CONSONANT_SOUNDS = ("uni", "uku")
"""Beginnings that take ``a`` although they are written with a vowel."""
SILENT_BEGINNINGS = ("hourglass",)
"""Beginnings that take ``an`` although they are written with a consonant."""
