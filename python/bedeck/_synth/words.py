# ruff: noqa: RUF001 - words of other scripts are the point
"""The vocabulary: words by class, genres, countries.

Words are separated by white space; "_" stands for a space inside one. All text is NFC.
"""

__all__ = ["CODES", "EUROPE", "GENRES", "WORDS", "WORLD"]

WORDS = {
    # English
    "noun": """
        Fire Water River Ocean Mountain Valley Desert Forest Garden Meadow Island Harbor Bridge Tower Castle Palace
        Temple Cathedral Chapel Station Highway Road Street Alley Corner Window Door Mirror Candle Lantern Shadow Echo
        Whisper Thunder Lightning Storm Rain Snow Wind Sun Moon Star Sky Cloud Horizon Dawn Dusk Morning Evening Night
        Midnight Summer Winter Autumn Season Year Hour Minute Moment Memory Dream Nightmare Vision Promise Secret Lie
        Truth Story Letter Poem Song Melody Rhythm Dance Drum Guitar Piano Violin Radio Record Tape Machine Engine
        Train Car Boat Ship Plane Rocket Satellite Planet Galaxy Universe Heaven Paradise Angel Devil Ghost Spirit
        Soul Heart Mind Body Blood Bone Skin Hand Eye Tear Smile Kiss Touch Breath Voice Silence Noise Color Gold
        Silver Diamond Pearl Crystal Glass Stone Iron Steel Dust Sand Ash Smoke Flame Ember Spark Light Darkness Rose
        Lily Violet Daisy Orchid Cherry Apple Honey Sugar Coffee Whiskey Wine Bottle Cup Table Chair Bed Pillow
        Blanket Coat Dress Shoe Ring Crown Throne King Queen Prince Soldier Sailor Hunter Dancer Dreamer Lover
        Stranger Friend Brother Sister Mother Father Child Baby Boy Girl Lady Cowboy Wolf Tiger Lion Bear Fox Deer
        Horse Raven Crow Eagle Dove Swan Butterfly Firefly Spider Snake Dragon Wave Tide Shore Beach Bay Lake Pond
        Creek Waterfall Cave Canyon Cliff Hill Field Farm House Home Room Kitchen Attic Basement Hotel Motel Bar
        Casino Circus Carnival Parade Party Holiday Wedding Funeral Battle War Peace Love Hate Hope Faith Grace Mercy
        Glory Pride Fear Anger Joy Sorrow Pain Trouble Danger Fever Poison Medicine Doctor Teacher Poet Painter
        Preacher Prophet Saint Sinner Thief Killer Gun Knife Sword Arrow Bullet Shield Wall Fence Gate Key Lock Chain
        Rope Thread Needle Ladder Compass Map Clock Calendar Camera Photograph Postcard Magazine Novel Chapter Page
        Line Circle Square Triangle Number Signal Static Wire Cable Battery Gravity Velocity Oxygen Mercury Saturn
        Venus Orbit Comet Eclipse Solstice Equinox Avalanche Earthquake Volcano Hurricane Tornado Monsoon Blizzard
        Drought Flood Rainbow Sunset Sunrise Moonlight Starlight Daylight Twilight Neon Velvet Satin Leather Denim
        Cotton Silk Ribbon Feather Wing Anchor Sail Lighthouse Mermaid Siren Wizard Witch Vampire Zombie Robot Android
        Alien Stereo Disco Tango Waltz Lullaby Serenade Anthem Ballad Chorus Refrain Encore Curtain Stage Spotlight
        Audience Mask Puppet Jester Juggler Gambler Dealer Joker Ace Acid Alibi Altar Amber Animal Apron Arcade Arena
        Armor Atlas Atom Axe Balloon Balm Banner Barn Basin Beacon Bee Bell Berry Bike Blade Blaze Blossom Blur Bolt
        Bow Brick Bride Broom Bruise Bug Bus Cactus Cage Cake Calm Canvas Cape Cargo Cat Cedar Charm Chess Choir Cider
        Cinder Claw Clay Clover Coal Cobra Code Coil Coin Comb Copper Coral Cork Cove Cradle Crane Crush Cube Curse
        Dagger Dare Data Debt Delta Den Dial Dice Dime Dirt Dog Doll Dome Dot Doubt Drift Duel Dune Elm Empire Envy
        Epoch Era Exit Fable Face Fang Fate Feast Fern Ferry Fig Film Finch Fist Flag Flash Flesh Flight Flint Floor
        Flute Fog Fool Foot Fort Frame Freak Frost Fruit Fuel Fury Game Gem Giant Gift Gin Globe Goat God Grain Grape
        Grass Grave Grip Groove Guest Guide Gulf Gum Habit Hail Hair Halo Harp Harvest Haze Hazel Heat Heist Helm Herd
        Hero Hive Hook Horn Host Hound Hunger Hymn Ice Idol Ink Ivy Jade Jar Jazz Jet Jewel Juice Jungle Jury Kite
        Knight Knot Lace Lamp Lark Laser Lava Leaf League Ledge Legend Lemon Lens Lever Lid Limb Lime Limit Lip Loft
        Logic Loop Lotus Luck Lung Magic Magnet Maple Marble March Marsh Maze Metal Mint Mist Mold Monk Mood Moss Moth
        Motor Mud Mural Muse Myth Nail Nectar Nerve Nest Net Niche Nickel Oak Oasis Oath Oil Olive Onyx Opal Opera
        Otter Oxide Oyster Pact Palm Panic Parrot Path Pawn Peach Peak Pepper Phone Pier Pine Pipe Pistol Pixel Plague
        Plum Pool Poppy Porch Powder Prayer Prism Prize Pulse Puzzle Quake Quartz Quest Rage Rail Ramp Razor Reef
        Relic Rhyme Riddle Riot Robe Roof Root Ruin Rumor Rust Salt Salvo Scar Scent School Scope Seed Serum Shape
        Shark Shell Shrine Skull Slate Sleep Sleeve Snare Soda Solace Spade Spear Spice Spine Splinter Spoon Squid
        Staff Stain Stair Statue Steam Stem Sting Straw Stream Stripe Stump Swarm Switch Syrup Talon Tank Tavern Taxi
        Tempo Tent Thorn Throat Timber Toast Token Tomb Tonic Tooth Torch Toy Trace Track Trail Trap Treasure Tree
        Trench Tribe Trick Trophy Tulip Tunnel Turbo Twin Union Urn Valve Vault Veil Vein Verse Vessel Vigil Vine
        Vinyl Virtue Virus Vow Wagon Wake Ward Wasp Weapon Web Weed Well Wharf Wheat Wheel Whip Whistle Widow Wig
        Willow Wish Wonder Wool Wound Wreck Wrist Yacht Yard Zone
    """,
    "nouns": """
        Lovers Strangers Shadows Rivers Dreamers Wolves Foxes Ravens Sparrows Saints Sinners Ghosts Lanterns Mirrors
        Diamonds Flowers Roses Stars Clouds Waves Mountains Islands Cities Streets Lights Fires Stones Bones Hearts
        Eyes Hands Tears Kisses Promises Secrets Letters Stories Memories Dreams Days Nights Years Summers Winters
        Engines Machines Satellites Planets Rockets Trains Highways Bridges Towers Kings Queens Pirates Sailors
        Cowboys Soldiers Dancers Drifters Rebels Bandits Thieves Angels Devils Wildcats Tigers Horses Eagles Crows
        Owls Butterflies Fireflies Thunders Feathers Arrows Needles Poets Prophets Pilots Hunters Gardens Oceans
        Echoes Whispers Signals Colors Pages Songs Words Lies Things Boys Girls Sisters Brothers Strings Keys Miles
    """,
    "adj": """
        Broken Golden Silver Lonely Wild Silent Hollow Bitter Sweet Gentle Hidden Lost Distant Electric Crimson
        Scarlet Blue Black White Red Green Violet Purple Pink Grey Amber Ivory Emerald Sacred Secret Holy Wicked
        Velvet Frozen Burning Falling Rising Fading Shining Dancing Sleeping Running Crying Little Big Tiny Giant
        Ancient Modern Old New Young Endless Eternal Perfect Beautiful Ugly Pretty Lucky Crazy Happy Sad Angry Brave
        Honest Quiet Loud Heavy Light Dark Bright Cold Warm Hot Cool Dry Wet Deep Shallow High Low Fast Slow Easy Hard
        Simple Strange Familiar Foreign Local Southern Northern Eastern Western Midnight Summer Winter Sunday Saturday
        Plastic Paper Wooden Iron Concrete Crystal Cosmic Lunar Solar Magic Mystic Digital Analog Invisible Empty Open
        Closed Restless Reckless Careless Fearless Homeless Hopeless Faithful Graceful Painful Peaceful Colorful Rusty
        Dusty Stormy Cloudy Sunny Rainy Windy Hungry Thirsty Sleepy Drunken Sober Stolen Borrowed Forgotten Forbidden
        Faded Tangled Twisted Shattered Second First Last Final Next Only Other Better Good Bad Best Dirty Clean Rich
        Poor Cheap Able Acid Aching Astral Autumn Awake Azure Bare Blind Blond Blank Bold Bored Bronze Brown Burnt
        Civil Clear Common Copper Coral Crooked Cruel Curious Daily Damp Dear Divine Double Dull Dead Early Equal
        Fatal Feral Fine Fluid Fragile Free Fresh Frantic Full Funny Glass Grand Great Guilty Half Humble Icy Idle
        Inner Jaded Jealous Kind Late Lazy Lean Left Lone Long Loose Loyal Main Major Many Mean Mellow Mental Mild
        Minor Misty Modest Moody Naked Narrow Native Naive Neon Noble Numb Odd Opal Outer Pale Plain Polar Primal
        Private Proud Public Pure Quick Radiant Rapid Rare Real Ripe Rival Roman Rough Round Royal Rude Ruby Safe Same
        Sane Scared Shared Sharp Short Shy Sick Single Slim Sly Small Smart Smooth Snowy Solid Sore Spare Stale Stark
        Static Steady Steep Stiff Still Strong Subtle Sudden Super Sure Tame Tender Thin Tired Total Toxic Tragic True
        Ultra Urban Usual Vague Vain Vast Viral Virgin Vital Vivid Wide Wise Worn Worthy
    """,
    "short": """
        My Your No One Old New Big Bad Red Hot Sad Mad Our Raw Dry Wet Low High True Wild Lost Blue Cold Dark Soft
    """,
    "tiny": """
        Sun Sky Sea Day Way War Eye Fox Car Rain Fire Love Lies Hope Home Time Moon Star Girl Boy Baby Kiss Mind Soul
        Gold Road Wind Wave Snow Dust Luck Song Life Face Hand Name Place World Heart Night Dream Crew Town Land Side
    """,
    "head": """
        Moon Sun Star Sky Fire Water Rain Snow Storm Wind Night Day Dawn Dusk Dream Heart Ghost Wolf Black Blue Red
        Gold Silver Iron Stone Glass Sand Dust Sea Wave River Lake Wood Wild Dark Light Bright High Low Deep Cold Ever
        Never After Over Under Out In Down Up North South West East Half Free True Hollow Shadow Thunder Honey Sugar
        Velvet Summer Winter Rose Fox Raven Hawk Blood Bone Soul Mind Time Home Slow Fast Long Short Still Back Cross
        Broken Ash Bird Candle Cloud Coal Copper Coral Crow Crystal Dragon Earth Echo Ember Evening Fern Flame Fog
        Frost Grave Green Grey Hail Hazel Ice Ink Ivy Jade Lantern Leaf Life Lion Love Magic March Marsh May Meadow
        Mid Mirror Mist Morning Moss Mountain Mud New Oak Ocean Old Paper Pearl Pepper Pine Quick Rust Salt Satin Silk
        Sleep Smoke Song Soft Spark Spring Steel Stray Sweet Swift Tall Tear Thorn Tide Tiger Twin Vine Voice War Warm
        Weather Wheat Whisper White Willow Wing Wonder World Young
    """,
    "tail": """
        light fall fire fly field town land song shine dust rise bound side walk ride drift storm stone flower bird
        line wave water way house home time world heart child man born made break burn haze gaze glow lands shore ship
        sail craft bloom wood ward well word works spell rush run rider runner dancer maker keeper hunter catcher bay
        beam bell berry blade blood bow branch breeze bridge brook call cast chaser chime cloud coat crown crest cry
        dale dew door dream drop eye face feather fell fern fever flame flash flight flow foot forge fox garden gate
        ghost glass glory grass grove guard hand haven hawk head hill hollow hook horn hound hymn keep key kiss lark
        leaf less lock lore mark mask mill mind mint mist moon moor moss mouth night path peak pine pool queen rain
        rest ring river road rock root rose sand scape scar seed shade sign sky smith snow soul spark spire spring
        star steps stream street strike sun tail tale tear thorn tide tongue tower tree veil view voice wake wall
        watch weed wheel whisper wind wing wolf yard
    """,
    "ing": """
        Running Falling Dancing Waiting Dreaming Burning Chasing Drowning Flying Driving Sleeping Breathing Crying
        Singing Walking Drifting Floating Fading Shining Looking Hiding Praying Searching Talking Thinking Wishing
        Leaving Healing Holding_On Calling Sinking Rising Swimming Howling Bleeding Breaking Melting Rolling Riding
        Smoking Swinging Wandering Whispering Writing Coming_Down Growing_Up Moving_On Staying Lying Living Dying
        Trying Getting_By
    """,
    "tale": """
        in_the_Rain on_the_Moon With_You for_You Without_You Away Again Home Alone Tonight in_the_Dark at_Midnight
        Back_to_You Through_the_Night Under_the_Stars Over_Water in_Slow_Motion to_the_Sea Out_Loud from_the_Start
        All_Night Forever by_the_River in_Circles Like_Before on_Sunday on_the_Edge into_the_Sun in_the_City
        Before_the_Storm After_Dark in_My_Sleep on_the_Radio for_the_Summer Behind_the_Wheel Between_the_Lines
        at_the_End_of_the_World on_the_Other_Side Beneath_the_Waves Down_the_Highway Till_the_Morning
    """,
    "late": """
        Tonight Again Forever Now Tomorrow Anymore Somehow Slowly Anyway Always Alone Yesterday Sometimes Someday
        Enough Instead This_Time Once_More Too_Long Before_Dawn All_Along Right_Now After_All Come_Monday
    """,
    "verb": """
        Hold Take Break Follow Remember Forget Leave Find Lose Call Save Need Want Love Miss Keep Feel Burn Chase
        Trust Believe Hear See Watch Kiss Carry Catch Change Choose Cross Cure Blame Bring Build Bury Count Draw Drink
        Fight Fix Forgive Give Guard Heal Hide Hit Hurt Know Let_Go_of Live Paint Pay Play Praise Pull Push Raise Read
        Ride Rob Rule Sell Send Shake Share Sing Steal Stop Tame Taste Teach Tell Thank Throw Touch Trace Wake Waste
        Wear
    """,
    "whom": """
        Me You It Us Them Her Him Everything Nothing Somebody My_Name Your_Name My_Love Her_Eyes the_Night the_Line
    """,
    "does": """
        Falls Rises Burns Sings Cries Shines Breaks Fades Sleeps Calls Waits Turns Dies Dances Stops Bleeds Glows
        Grows Returns Comes_Down Moves Drowns Screams Listens Laughs Goes_Out Comes_Home Runs_Dry
    """,
    "did": """
        Lost Found Made Broke Kept Burned Loved Knew Forgot Left Saw Dreamed Wrote Buried Carried Followed Chased Sold
        Stole Gave_Away Never_Had Used_to_Be Could_Have_Been
    """,
    "one": """
        Intro Interlude Outro Prelude Home Alone Always Again Closer Higher Slower Stronger Faded Gone Lost Found Stay
        Breathe Listen Believe Remember Surrender Rewind Replay Reset Escape Collide Ignite Awake Alive Numb Hurt
        Happy Sorry Hello Goodbye Yes No Why Someday Tomorrow Yesterday Monday Friday Saturday January April August
        October Euphoria Nostalgia Utopia Karma Mantra Nirvana Zen Chaos Cosmos Aurora Nova Vertigo Mirage Odyssey
        Genesis Exodus Requiem Nocturne Etude Sonata Fantasia Toccata Caprice Rhapsody Overture Adagio Allegro Bolero
        Habanera Elegy Cannonball Kaleidoscope Chandelier Gasoline Dynamite Adrenaline Serotonin Insomnia Paranoia
        Hysteria Amnesia Hallelujah Amen Dolores Bonnie Jolene Roxanne Valerie Delilah Angelina Carolina Montana
        Geronimo Cleopatra
    """,
    "sound": """
        Rain White_Noise Brown_Noise Ocean_Waves Thunderstorm Forest_Birds Crackling_Fire Wind_Chimes Deep_Sleep
        Night_Train Meditation Mountain_Stream Soft_Piano Study_Beats Gentle_Fan Tibetan_Bowls Summer_Crickets
    """,
    "work": """
        Symphony_No. Piano_Sonata_No. String_Quartet_No. Violin_Concerto_No. Cello_Suite_No. Nocturne_No. Prelude_No.
        Etude_No. Piano_Concerto_No. Fugue_No. Mazurka_No. Waltz_No. Partita_No. Serenade_No. Trio_No.
    """,
    "scale": """
        C_Major D_Major E_Major F_Major G_Major A_Major B-Flat_Major E-Flat_Major C_Minor D_Minor E_Minor F_Minor
        G_Minor A_Minor B_Minor F-Sharp_Minor C-Sharp_Minor
    """,
    "mood": """
        Allegro Adagio Andante Presto Largo Allegro_ma_non_troppo Andante_cantabile Adagio_molto_espressivo Scherzo
        Menuetto Rondo Finale Allegretto Vivace Molto_allegro_quasi_presto Poco_sostenuto Tempo_di_valse Lento_assai
    """,
    "film": """
        "The_Last_Harbor" "Northbound" "A_Quiet_Season" "Paper_Kingdoms" "The_Lighthouse_Keeper" "Velvet_Underpass"
        "Ten_Days_in_Lisbon" "Midnight_Ferry" "The_Cartographer" "Salt_and_Iron" "Eleven_Winters" "House_of_Glass"
    """,
    "n": " ".join(map(str, range(1, 100))),
    "hertz": " ".join(map(str, (*range(40, 240, 4), 396, 417, 432, 528, 639, 741, 852, 963))),
    "year": " ".join(map(str, range(1986, 2026))),
    "roman": "I II III IV V VI VII VIII IX X XI XII",
    "letter": "A. B. C. D. E. F. G. H. J. K. L. M. N. P. R. S. T. V. W. Z.",
    # names
    "first": """
        Maria Anna Elena Sofia Laura Julia Emma Olivia Ava Mia Chloe Grace Ella Lily Nora Clara Alice Eva Ines Carmen
        Lucia Paula Marta Rosa Isabel Camila Valentina Daniela Gabriela Fernanda Larissa Bianca Giulia Chiara
        Francesca Martina Camille Manon Lena Hanna Greta Ingrid Astrid Freya Sigrid Maja Katarina Natalia Olga Irina
        Svetlana Aisha Fatima Leila Yasmin Noor Zara Priya Ananya Meera Kavya Yuki Sakura Hana Mei Lin Xia Soo-jin
        Ji-woo Amara Zainab Ngozi Thandi Naledi James John David Michael Daniel Thomas Peter Paul Mark Lucas Oliver
        Jack Harry George Charlie Leo Max Oscar Hugo Arthur Louis Jules Antoine Mateo Diego Javier Carlos Miguel
        Rafael Pedro Joao Tiago Bruno Marco Luca Matteo Lorenzo Giovanni Hans Felix Jonas Lukas Erik Lars Sven Anders
        Nils Mikkel Jan Piotr Tomasz Pavel Dmitri Ivan Sergei Mikhail Omar Ali Hassan Karim Youssef Tariq Arjun Rohan
        Vikram Sanjay Kenji Hiroshi Takeshi Wei Jun Min-ho Kwame Kofi Chidi Sipho Tendai Nelson Winston Desmond Marcus
        Jamal Tyrone Curtis Otis Ray Earl Willie Hank Wyatt Dallas Austin Dolly Loretta Patsy June Ruby Pearl Hazel
        Ivy Violet Stella Luna Nova Skye River Robin Casey Jordan Morgan Taylor Avery Quinn Rowan Sage Blake Drew
        Jesse Frankie Billie Bobby Johnny Tommy Jimmy Eddie Freddie Rosie Katie Molly Polly Sally Betty Kitty Lola
        Gigi Coco Kiki Nina Tina Dina
    """,
    "first_accented": """
        José Zoë Chloé René André Sébastien Françoise Hélène Björn Åsa Søren Jürgen Günther Jörg Mário António João
        Inês Tomás Andrés Sofía Lucía Raúl Ángel Beyza Noémie Éloïse Göran Märta Kåre Renée Óscar Verónica Mónica
    """,
    "last": """
        Smith Jones Taylor Brown Williams Davies Evans Walker Wright Robinson Thompson White Hughes Green Hall Lewis
        Harris Clarke Jackson Turner Hill Scott Cooper Morris Ward King Baker Young Allen Mitchell James Murphy Kelly
        Ryan Byrne Walsh Doyle Quinn Campbell Stewart Fraser Garcia Lopez Martinez Sanchez Romero Torres Navarro
        Molina Ortega Castro Vega Rojas Mendoza Silva Santos Oliveira Pereira Costa Ferreira Almeida Ribeiro Carvalho
        Rossi Russo Ferrari Bianchi Romano Colombo Ricci Marino Greco Conti Dubois Moreau Laurent Lefebvre Girard
        Mercier Fontaine Chevalier Schmidt Schneider Fischer Weber Wagner Becker Hoffmann Richter Klein Wolf Vogel
        Keller Jansen Bakker Visser Meijer Larsen Hansen Nielsen Berg Lund Holm Dahl Strand Novak Horvat Kowalski
        Nowak Kaminski Ivanov Petrov Volkov Sokolov Orlov Popov Haddad Nasser Khalil Aziz Rahman Khan Sharma Patel
        Gupta Mehta Kapoor Rao Iyer Tanaka Suzuki Sato Yamada Mori Kim Park Lee Choi Chen Wang Zhang Liu Yang Nguyen
        Tran Mensah Okafor Adeyemi Diallo Traore Keita Ndlovu Dlamini Moyo Banda Okello Mwangi
    """,
    "stem": """
        Brook Black White Ash Hart Whit Har Win Brad Clay Lang Stan Mar Bur Col Den Far Gra Hol Kirk Lin Mid New Oak
        Pres Rad Red Shel Thorn Wake Wal War Wes Wood Al Bar Ben Cal Car Dal El Ever Fair Hal Ken Kings Mel Mil Nor
        Rams Ros Sel Ald Am Ayl Bex Birch Bran Cam Chal Chis Cran Crow Dun East Edg Elm Fen Gil Gold Hamp Hawk Hazel
        Heath Hen Hunt Ing Kel Lock Long Lud Mead Mer Net Ox Pem Pick Rock Rush Sand Sax Sil Stock Stone Sud Sum Swin
        Tam Til Wick Wil Wind Wym Yar Colt
    """,
    "ton": """
        ley ton field ford man wood well ham by ridge worth land shaw more don wick stead bourne gate smith ster mont
    """,
    "syl": """
        Ka Zo Mi Ve La Sha Ne Ro Ty Jo Lu Xe Qui Ny Ari Ela Ira Ona Uma Dre Sol Tal Vin Zai Kel Lor Mar Nor Pa Ri So
        Ta Va Yu Ze Bri Cae Dio Fre Gia Hal Io Jae Kai Leo Mae Nia Ori Phae Rae Ba Be Bo Cha Da El Fa Go Ha Hi Is Ju
        Ki Ko Li Lo Ma Me No Om Re Sa Se Si Su Te Ti To Vo Wa We Ya Yo Zu
    """,
    "mid": """
        ra lo ni va mi de sa ri ta lu ne ko za do li ma vi no ke sha re la to mo na ti be da du ha ju ku me nu pa ro
        se su te yo
    """,
    "coda": """
        x n ra vo ko na lla ro s th ya de mi zo ne lo ri ka no sh va ze r l mar dor bel vyn ris tan ba do ga ha ja ke
        li lu ma me ni re sa ta te to vi wa
    """,
    "place": """
        Paris London Berlin Tokyo Lisbon Madrid Rome Milan Vienna Prague Oslo Stockholm Helsinki Dublin Glasgow
        Brooklyn Harlem Memphis Nashville Austin Detroit Chicago Seattle Denver Havana Kingston Bahia Lima Bogota
        Santiago Buenos_Aires Mexico_City Tijuana Montreal Toronto Reykjavik Istanbul Beirut Cairo Tangier Dakar Lagos
        Accra Nairobi Johannesburg Mumbai Delhi Jakarta Manila Seoul Osaka Kyoto Sydney Melbourne Auckland Honolulu
    """,
    "venue": """
        the_Roundhouse the_Apollo Montreux Glastonbury Wembley the_Fillmore Red_Rocks the_Roxy the_Olympia
        the_Paradiso the_Blue_Note Carnegie_Hall Roskilde Abbey_Road KEXP the_BBC Maida_Vale the_Village_Vanguard
        Newport the_Ryman
    """,
    "ensemble": """
        Quartet Trio Orchestra Ensemble Choir Band Big_Band Collective Project Symphony_Orchestra Brass_Band
        Philharmonic Chamber_Players Sound_System Gospel_Choir Jazz_Orchestra All-Stars
    """,
    # other languages in Latin letters
    "es_f": """
        Noche Luna Vida Calle Lluvia Sombra Ciudad Mentira Promesa Herida Tormenta Mirada Playa Casa Flor Estrella
        Canción Distancia Despedida Guitarra Ola Reina Bruja Gitana Palabra Primavera Madrugada Frontera Fiesta
        Historia Carta Llave Puerta Piel Sangre Voz Verdad Soledad Libertad Nube Arena Montaña Mañana Pasión
    """,
    "es_fa": """
        Perdida Rota Azul Negra Blanca Eterna Dulce Amarga Vacía Lejana Prohibida Oscura Fría Roja Nueva Vieja Salvaje
        Triste Ajena Ardiente Secreta Dorada
    """,
    "es_m": """
        Amor Corazón Mar Sol Cielo Viento Camino Tiempo Fuego Silencio Beso Recuerdo Olvido Sueño Verano Invierno
        Destino Mundo Tren Barrio Baile Dolor Secreto Juego Perfume Mensaje Deseo Milagro Cristal Hielo Desierto
        Puerto Ritmo Veneno Espejo Domingo Loco Vicio Tango Bolero
    """,
    "es_ma": """
        Perdido Roto Azul Negro Blanco Eterno Dulce Amargo Lejano Prohibido Oscuro Rojo Nuevo Viejo Salvaje Triste
        Ajeno Ardiente Secreto Dorado Imposible Vacío
    """,
    "pt_f": """
        Noite Chuva Lua Praia Estrada Saudade Vida Rua Flor Dor Luz Janela Cidade Menina Morena Estrela Roda Viola
        Canção Paixão Solidão Manhã
    """,
    "pt_m": """
        Amor Mar Sol Vento Caminho Tempo Fogo Samba Beijo Sonho Segredo Luar Carnaval Mundo Olhar Destino Rio Jardim
        Forró Coração Sertão Violão Verão Céu
    """,
    "fr_f": """
        Nuit Mer Lune Vie Ville Pluie Rue Danse Rose Fleur Folie Voix Peine Route Chanson Maison Dame Montagne Valse
        Neige Larme Flamme Fête Lumière Rivière
    """,
    "fr_m": """
        Amour Ciel Soleil Vent Temps Feu Silence Secret Jardin Matin Soir Miroir Voyage Hiver Bateau Coeur Jour Monde
        Souvenir Retour Train Visage Chemin Printemps Rêve Été Café Désert
    """,
    "it_f": """
        Notte Luna Vita Strada Pioggia Voce Sera Festa Storia Neve Rosa Bugia Canzone Danza Nostalgia Verità Città
    """,
    "it_m": """
        Cielo Mare Sole Tempo Fuoco Vento Bacio Sogno Destino Silenzio Ricordo Viaggio Treno Giardino Cuore Mondo
        Caffè
    """,
    "de": """
        Sehnsucht Heimweh Fernweh Freiheit Liebe Wunder Himmel Feuer Schatten Sommer Winter Zeitlos Atemlos Zuhause
        Narben Augenblick Ewigkeit Herzschlag Gewitter Regen Morgenrot Nebel Immer_Wieder Ohne_Dich Mit_Dir Nur_Du
        Wach Träume Königin Für_Immer Zurück Nächte Schön Größer
    """,
    "de_head": """
        Sternen Sommer Winter Abend Morgen Regen Feuer Mond Sonnen Wolken Herzens Wald Silber Traum Schatten Stadt
    """,
    "de_tail": "licht nacht wind lied tanz zeit weg land reise stern glanz kind tag traum regen klang",
    "id": """
        Cinta Rindu Hujan Malam Bulan Bintang Hati Janji Kenangan Pagi Senja Pelangi Mimpi Rumah Lagu Laut Langit
        Sendiri Pulang Bersama Kembali Selamanya
    """,
    "hi": """
        Dil Raat Chand Pyar Ishq Khwab Safar Baarish Yaad Zindagi Duniya Sapna Aankhein Jaan Rang Dard Intezaar Sitara
    """,
    "latin": """
        Sommarnatt Hjärta Längtan Stjärna Måne Frühling Själ Kärlek Hösten Vår Älska Nätter Drömmar Nordanvind Fjäril
        Öde Hjem Skygge Sjø Kjærlighet Drøm Nær Blå Lys Sorg Høst Fjell Vänta Rör_Mig På_Väg Ännu_En_Gång
        Tänd_Ett_Ljus Zonder_Jou Überall Süden Söder Mañana Corazón Adiós Pasión Ilusión Razón Adicción Obsesión
        Canción_Urgente Río_Abajo Não_Vá Ilusão Perdão São_João Até_Amanhã Avião Você Lembranças Étoile L'été À_Deux
        Déjà_Vu Désolé Café_Noir Mémoire
    """,
    "extended": """
        Miłość Świt Wiatr_i_Łzy Dziś Wróć Cień Żal Noc_Świętojańska Świat Gwiazdy_Śpią Aşk Yağmur Gözlerim Yıldız Işık
        Şarkı Gidiyor_Muşsun Güneş_Doğar Srdce_Větru Vítr Říjen Dážď Ősz Őrült_Szív Em_Ơi Về_Nhà Đêm_Nay Một_Mình
    """,
    # other scripts
    "ru": """
        Снег Ветер Дождь Вечер Город Огонь Рассвет Туман Берег Поезд Голос Океан Танец Закат Январь Август Остров Звук
    """,
    "ru_adj": "Белый Последний Тихий Синий Чужой Старый Новый Вечный Первый Далёкий Пустой Тёплый Ночной Мой Твой",
    "ru_one": """
        Прощай Навсегда Весна Любовь Осень Тишина Мечта Звезда Надежда Луна Помни_Меня Не_Уходи Без_Тебя Домой
    """,
    "ja": "夜 海 空 花 雨 月 星 風 夢 光 影 街 春 夏 秋 冬 朝 君 心 涙 声 桜 東京 世界 約束 記憶 未来 手紙 窓 旅",
    "ja_one": """
        ひとり さよなら ありがとう きらきら おやすみ ドライブ メロディー サマータイム カラフル ラストダンス 花火 青春
        永遠
    """,
    "zh": "雨 海 月亮 星空 城市 故事 時光 夏天 秋天 風 夢 愛人 回憶 街道 世界 森林 咖啡 電影 火車 遠方",
    "zh_adj": "溫柔 孤獨 最後 遙遠 安靜 無聲 寂寞 美麗 消失 藍色 第一次 昨天 我們 你",
    "ko": "밤 바다 하늘 꽃 비 달 별 바람 꿈 빛 거리 봄날 여름 가을 겨울 아침 마음 눈물 노래 편지 기억 시간",
    "ko_adj": "푸른 마지막 하얀 작은 그리운 슬픈 따뜻한 조용한 오래된 빛나는 우리의 너의",
    "ar": "ليل قمر بحر قلب حب شمس ورد شوق حلم نجوم عيون سلام وداع غيمة مطر نور حنين صوت",
    "he": "הים האור הלילה השיר הזמן החלום הרוח הלב הגשם השמש הבית האהבה",
    "el": "φως κύμα βράδυ καλοκαίρι τραγούδι όνειρο φεγγάρι ταξίδι δάκρυ φιλί παράθυρο αστέρι",
    "th": "รักเธอ คิดถึง คืนนี้ ฝนตก ดาวดวงเดิม กลับบ้าน ลืมไม่ลง ไม่เป็นไร ใจเย็น รอเธอ วันเก่า แสงจันทร์",
    "ka": "მთვარე ზღვა ღამე სიყვარული წვიმა გული",
    "te": "వెన్నెల ప్రేమ వాన నీ_కోసం చినుకు",
    "si": "සඳ ආදරේ මුහුද වැස්ස",
    "bo": "ཟླ་བ གངས་རི སེམས",
}

GENRES = """
    pop rock hip_hop rap r&b soul funk disco house techno trance drum_and_bass dubstep ambient downtempo trip_hop
    indie_pop indie_rock alternative_rock punk post-punk hardcore metal black_metal death_metal doom folk indie_folk
    singer-songwriter country americana bluegrass blues gospel jazz bebop bossa_nova samba mpb sertanejo forro reggae
    dub dancehall ska reggaeton latin_pop salsa bachata cumbia tango flamenco fado chanson schlager afrobeats amapiano
    highlife k-pop j-pop city_pop mandopop bollywood qawwali classical baroque opera choral minimalism soundtrack
    new_age lo-fi_beats spoken_word comedy audiobook children's_music
"""

CODES = """
    AD AE AG AL AM AO AR AT AU AZ BA BB BD BE BF BG BH BI BJ BN BO BR BS BT BW BY BZ CA CD CG CH CI CL CM CO CR CV CW
    CY CZ DE DJ DK DM DO DZ EC EE EG ES ET FI FJ FM FR GA GB GD GE GH GM GN GQ GR GT GW GY HK HN HR HT HU ID IE IL IN
    IQ IS IT JM JO JP KE KG KH KI KM KN KR KW KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MH MK ML MN MO MR MT
    MU MV MW MX MY MZ NA NE NG NI NL NO NP NR NZ OM PA PE PG PH PK PL PS PT PW PY QA RO RS RW SA SB SC SE SG SI SK SL
    SM SN SR ST SV SZ TD TG TH TJ TL TN TO TR TT TV TW TZ UA UG US UY UZ VC VE VN VU WS XK ZA ZM ZW
"""

WORLD = """
    AD AR AT AU BE BG BO BR CA CH CL CO CR CY CZ DE DK DO EC EE ES FI FR GB GR GT HK HN HU ID IE IS IT JP LI LT LU LV
    MC MT MX MY NI NL NO NZ PA PE PH PL PT PY RO SE SG SK SV TH TR TW US UY VN
"""

EUROPE = """
    AD AT BE BG CH CY CZ DE DK EE ES FI FR GB GR HU IE IS IT LI LT LU LV MC MT NL NO PL PT RO SE SK TR
"""
